-- The inbox's store, version 10: of an order that was missing it is said that it was not seen, and not that it never came. What
-- was refused is remembered in part and in memory only.
ALTER TABLE reconcile_runs RENAME COLUMN never_came TO not_seen;

CREATE TABLE reconcile_healed_with_not_seen (
    healed_seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id       INTEGER NOT NULL,
    order_id     INTEGER NOT NULL,
    reason       TEXT NOT NULL CHECK (reason IN ('not_seen', 'was_refused', 'older_held', 'quarantined')),
    version_held INTEGER,
    version      INTEGER,
    delivery_id  TEXT NOT NULL,
    healed_at    INTEGER NOT NULL
) STRICT;

INSERT INTO reconcile_healed_with_not_seen
    SELECT healed_seq, run_id, order_id, iif(reason = 'never_came', 'not_seen', reason), version_held, version, delivery_id,
        healed_at
    FROM reconcile_healed;

DROP TABLE reconcile_healed;

ALTER TABLE reconcile_healed_with_not_seen RENAME TO reconcile_healed;
