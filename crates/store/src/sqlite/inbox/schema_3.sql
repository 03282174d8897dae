-- The inbox's store: moves that a partner makes, and reconciling.

-- Moves of a partner's own, kept before they are tried. The move_id is the key at the platform.
CREATE TABLE moves (
    move_seq     INTEGER PRIMARY KEY,
    move_id      TEXT NOT NULL UNIQUE,
    -- The asker's own key, and what it stands for.
    key          TEXT UNIQUE,
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 32),
    order_id     INTEGER NOT NULL CHECK (order_id > 0),
    asked        TEXT NOT NULL CHECK (asked IN ('accepted', 'ready', 'picked_up', 'rejected', 'cancelled')),
    body         BLOB NOT NULL,
    asked_at     INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'done', 'refused', 'given_up')),
    ended_at     INTEGER,
    code         TEXT,
    message      TEXT,
    CHECK ((state = 'pending') = (ended_at IS NULL))
) STRICT;

CREATE INDEX moves_pending ON moves (move_seq) WHERE state = 'pending';
CREATE INDEX moves_by_order ON moves (order_id, move_seq);
CREATE INDEX moves_by_end ON moves (ended_at) WHERE ended_at IS NOT NULL;

-- Where reconciling goes on.
CREATE TABLE reconcile_mark (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    cursor  TEXT,
    deep_at INTEGER
) STRICT;

INSERT INTO reconcile_mark VALUES (1, NULL, NULL);

-- The runs there were, and what each did.
CREATE TABLE reconcile_runs (
    run_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    cause       TEXT NOT NULL
        CHECK (cause IN ('start', 'interval', 'version_jump', 'quarantine', 'quiet', 'asked')),
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    ended_as    TEXT CHECK (ended_as IN ('done', 'failed', 'broken_off')),
    requests    INTEGER NOT NULL DEFAULT 0 CHECK (requests >= 0),
    compared    INTEGER NOT NULL DEFAULT 0 CHECK (compared >= 0),
    never_came  INTEGER NOT NULL DEFAULT 0 CHECK (never_came >= 0),
    older_held  INTEGER NOT NULL DEFAULT 0 CHECK (older_held >= 0),
    quarantined INTEGER NOT NULL DEFAULT 0 CHECK (quarantined >= 0),
    problem     TEXT,
    CHECK ((ended_at IS NULL) = (ended_as IS NULL))
) STRICT;

-- The orders that they healed. A run may be gone before its orders are.
CREATE TABLE reconcile_healed (
    healed_seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id       INTEGER NOT NULL,
    order_id     INTEGER NOT NULL,
    reason       TEXT NOT NULL CHECK (reason IN ('never_came', 'older_held', 'quarantined')),
    version_held INTEGER,
    version      INTEGER,
    delivery_id  TEXT NOT NULL,
    healed_at    INTEGER NOT NULL
) STRICT;
