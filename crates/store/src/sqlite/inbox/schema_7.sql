-- The inbox's store, version 7: an order may have been missing because what came of it was refused.
ALTER TABLE reconcile_runs ADD COLUMN was_refused INTEGER NOT NULL DEFAULT 0 CHECK (was_refused >= 0);

CREATE TABLE reconcile_healed_with_refused (
    healed_seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id       INTEGER NOT NULL,
    order_id     INTEGER NOT NULL,
    reason       TEXT NOT NULL CHECK (reason IN ('never_came', 'was_refused', 'older_held', 'quarantined')),
    version_held INTEGER,
    version      INTEGER,
    delivery_id  TEXT NOT NULL,
    healed_at    INTEGER NOT NULL
) STRICT;

INSERT INTO reconcile_healed_with_refused
    SELECT healed_seq, run_id, order_id, reason, version_held, version, delivery_id, healed_at FROM reconcile_healed;

DROP TABLE reconcile_healed;

ALTER TABLE reconcile_healed_with_refused RENAME TO reconcile_healed;
