-- The platform's store, version 3: what was added to version 2, table by table.

-- ---------------------------------------------------------------- replays of many deliveries

-- A durable job. It looks through the deliveries, or through the events for what a registration missed, up to the last one
-- that there was when it was asked for, and puts in line what it finds.
CREATE TABLE replays (
    replay_id   INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('same_ids', 'new_ids', 'missed')),
    -- 0: each order's newest record once.
    history     INTEGER NOT NULL CHECK (history IN (0, 1)),
    -- The filter; NULL is no condition.
    endpoint_id INTEGER REFERENCES endpoints,
    webhook_id  INTEGER REFERENCES webhooks,
    order_id    INTEGER,
    event_type  TEXT CHECK (event_type IN
        ('klikit.order.created.v2', 'klikit.order.status.updated', 'klikit.order.cart.updated')),
    of_state    TEXT CHECK (of_state IN ('delivered', 'dead', 'cancelled', 'superseded')),
    since       INTEGER,
    until       INTEGER,
    state       TEXT NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'done')),
    looked_to   INTEGER NOT NULL CHECK (looked_to >= 0),
    looks_to    INTEGER NOT NULL,
    queued      INTEGER NOT NULL CHECK (queued >= 0),
    delivered   INTEGER NOT NULL CHECK (delivered >= 0),
    dead        INTEGER NOT NULL CHECK (dead >= 0),
    cancelled   INTEGER NOT NULL CHECK (cancelled >= 0),
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    CHECK (looked_to <= looks_to),
    CHECK (delivered + dead + cancelled <= queued),
    CHECK ((state IN ('cancelled', 'done')) = (finished_at IS NOT NULL)),
    CHECK (state <> 'done' OR (looked_to = looks_to AND delivered + dead + cancelled = queued)),
    CHECK (kind <> 'same_ids' OR history = 1),
    CHECK (kind <> 'missed' OR
        (webhook_id IS NOT NULL AND endpoint_id IS NULL AND event_type IS NULL AND of_state IS NULL))
) STRICT;

-- The replay that put a delivery in line last; NULL where an operator did it for this one alone.
ALTER TABLE deliveries ADD COLUMN replay_id INTEGER REFERENCES replays CHECK (replay_id IS NULL OR replay_no IS NOT NULL);

-- What of a replay is in line, and where.
CREATE INDEX deliveries_of_replay ON deliveries (replay_id, endpoint_id) WHERE state = 'pending' AND replay_id IS NOT NULL;

-- ---------------------------------------------------------------- registrations: how they are served

-- Concern the endpoint: the strictest of its registrations counts.
ALTER TABLE webhooks ADD COLUMN ordering TEXT NOT NULL DEFAULT 'per_order' CHECK (ordering IN ('per_order', 'none'));
ALTER TABLE webhooks ADD COLUMN in_flight_max INTEGER CHECK (in_flight_max > 0);
ALTER TABLE webhooks ADD COLUMN rate_per_second_max INTEGER CHECK (rate_per_second_max > 0);
-- Concern the registration alone.
ALTER TABLE webhooks ADD COLUMN orders_per_delivery_max INTEGER CHECK (orders_per_delivery_max > 0);
ALTER TABLE webhooks ADD COLUMN is_coalescing INTEGER NOT NULL DEFAULT 0 CHECK (is_coalescing IN (0, 1));

-- ---------------------------------------------------------------- registrations: removed

-- The row stays, because deliveries refer to it. Nothing is sent for it, nothing new is made for it.
ALTER TABLE webhooks ADD COLUMN removed_at INTEGER;
ALTER TABLE webhooks ADD COLUMN removed_by TEXT CHECK ((removed_by IS NULL) = (removed_at IS NULL));
-- Up to where its backlog was cancelled; NULL where there is nothing to be done.
ALTER TABLE webhooks ADD COLUMN cancelled_to INTEGER CHECK (cancelled_to IS NULL OR removed_at IS NOT NULL);

DROP INDEX webhooks_one_per_tuple;
CREATE UNIQUE INDEX webhooks_one_per_tuple
    ON webhooks (partner_id, coalesce(brand_id, 0), coalesce(branch_id, 0), event_type) WHERE removed_at IS NULL;
DROP INDEX webhooks_by_endpoint;
CREATE INDEX webhooks_by_endpoint ON webhooks (endpoint_id, removed_at);
CREATE INDEX webhooks_to_cancel ON webhooks (webhook_id) WHERE cancelled_to IS NOT NULL;

-- ---------------------------------------------------------------- partners: the next webhook secret

ALTER TABLE partners ADD COLUMN webhook_secret_next BLOB;
-- From when on it signs.
ALTER TABLE partners ADD COLUMN webhook_secret_next_at INTEGER
    CHECK ((webhook_secret_next_at IS NULL) = (webhook_secret_next IS NULL));

-- ---------------------------------------------------------------- deliveries: superseded, and who ended them

-- A condition of a table can only be changed by another table in its place.
CREATE TABLE deliveries_with_endings (
    delivery_seq    INTEGER PRIMARY KEY,
    delivery_id     TEXT NOT NULL,
    endpoint_id     INTEGER NOT NULL REFERENCES endpoints,
    webhook_id      INTEGER NOT NULL REFERENCES webhooks,
    event_type      TEXT NOT NULL,
    brand_id        INTEGER NOT NULL,
    branch_id       INTEGER NOT NULL,
    envelope_format INTEGER NOT NULL CHECK (envelope_format = 1),
    state           TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'cancelled', 'superseded')),
    attempts        INTEGER NOT NULL CHECK (attempts >= 0),
    failures        INTEGER NOT NULL CHECK (failures BETWEEN 0 AND attempts),
    next_attempt_at INTEGER,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    replay_no       INTEGER CHECK (replay_no > 0),
    replayed_at     INTEGER CHECK ((replayed_at IS NULL) = (replay_no IS NULL)),
    replay_id       INTEGER REFERENCES replays CHECK (replay_id IS NULL OR replay_no IS NOT NULL),
    -- Who took it back, and why; NULL where a replay did.
    ended_by        TEXT,
    ended_reason    TEXT CHECK (ended_reason IN ('delivery_cancelled', 'webhook_removed')),
    CHECK (event_type IN
        ('klikit.order.created.v2', 'klikit.order.status.updated', 'klikit.order.cart.updated')),
    CHECK ((state = 'pending') = (finished_at IS NULL)),
    CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
    CHECK ((ended_by IS NULL) = (ended_reason IS NULL)),
    CHECK (ended_by IS NULL OR state = 'cancelled'),
    -- What an operator asked for again is not passed over.
    CHECK (state <> 'superseded' OR replay_no IS NULL)
) STRICT;

INSERT INTO deliveries_with_endings (delivery_seq, delivery_id, endpoint_id, webhook_id, event_type, brand_id, branch_id,
    envelope_format, state, attempts, failures, next_attempt_at, created_at, finished_at, replay_no, replayed_at,
    replay_id)
SELECT delivery_seq, delivery_id, endpoint_id, webhook_id, event_type, brand_id, branch_id, envelope_format, state,
    attempts, failures, next_attempt_at, created_at, finished_at, replay_no, replayed_at, replay_id
FROM deliveries ORDER BY delivery_seq;

DROP TABLE deliveries;
ALTER TABLE deliveries_with_endings RENAME TO deliveries;

-- As they were, but for what was given up: what was passed over is rare too.
CREATE UNIQUE INDEX deliveries_by_id ON deliveries (delivery_id);
CREATE INDEX deliveries_pending ON deliveries (endpoint_id, delivery_seq) WHERE state = 'pending';
CREATE INDEX deliveries_given_up ON deliveries (state, delivery_seq)
    WHERE state = 'dead' OR state = 'cancelled' OR state = 'superseded';
CREATE UNIQUE INDEX deliveries_by_replay ON deliveries (replay_no) WHERE replay_no IS NOT NULL;
CREATE INDEX deliveries_replayed ON deliveries (endpoint_id, replay_no) WHERE state = 'pending' AND replay_no IS NOT NULL;
CREATE INDEX deliveries_of_replay ON deliveries (replay_id, endpoint_id) WHERE state = 'pending' AND replay_id IS NOT NULL;

ALTER TABLE totals ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0 CHECK (superseded >= 0);
