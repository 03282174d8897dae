-- The inbox's store, version 5: what is old is removed.
--
-- A delivery is removed when no state of the view is in it, no change that is kept, and nothing in quarantine. For that it must be
-- found by its number what refers to it. Of the view and of the line of changes SQLite does not check it: it would take an index
-- more for each, written with every delivery, to remove one; nor of what is noted of changes for sinks.

DROP VIEW order_records;

CREATE TABLE orders_without_reference (
    order_id        INTEGER PRIMARY KEY CHECK (order_id > 0),
    status          INTEGER,
    version         INTEGER,
    updated_at      INTEGER,
    delivery_seq    INTEGER NOT NULL,
    record_offset   INTEGER NOT NULL CHECK (record_offset >= 0),
    record_bytes    INTEGER NOT NULL CHECK (record_bytes > 0),
    received_at     INTEGER NOT NULL,
    branch_id       INTEGER,
    external_id     TEXT,
    short_id        TEXT,
    identity        TEXT,
    created_at      INTEGER,
    seen_version    INTEGER,
    seen_updated_at INTEGER,
    seen_status     INTEGER
) STRICT;

INSERT INTO orders_without_reference
    SELECT order_id, status, version, updated_at, delivery_seq, record_offset, record_bytes, received_at, branch_id,
        external_id, short_id, identity, created_at, seen_version, seen_updated_at, seen_status
    FROM orders;

DROP TABLE orders;

ALTER TABLE orders_without_reference RENAME TO orders;

CREATE INDEX orders_by_received ON orders (received_at);
CREATE INDEX orders_by_status ON orders (status);
CREATE INDEX orders_by_branch ON orders (branch_id) WHERE branch_id IS NOT NULL;
CREATE INDEX orders_by_external_id ON orders (external_id COLLATE NOCASE) WHERE external_id IS NOT NULL;
CREATE INDEX orders_by_short_id ON orders (short_id COLLATE NOCASE) WHERE short_id IS NOT NULL;

CREATE VIEW order_records AS
    SELECT o.order_id, o.status, o.version, d.delivery_id, o.received_at,
        CAST(substr(d.body, o.record_offset + 1, o.record_bytes) AS TEXT) AS record
    FROM orders o JOIN deliveries d ON d.delivery_seq = o.delivery_seq;

CREATE TABLE changes_without_reference (
    change_seq    INTEGER PRIMARY KEY CHECK (change_seq > 0),
    order_id      INTEGER NOT NULL REFERENCES orders,
    delivery_seq  INTEGER NOT NULL,
    position      INTEGER NOT NULL CHECK (position >= 0),
    record_offset INTEGER NOT NULL CHECK (record_offset >= 0),
    record_bytes  INTEGER NOT NULL CHECK (record_bytes > 0)
) STRICT;

INSERT INTO changes_without_reference
    SELECT change_seq, order_id, delivery_seq, position, record_offset, record_bytes FROM changes;

DROP TABLE changes;

ALTER TABLE changes_without_reference RENAME TO changes;

CREATE INDEX order_history_by_delivery ON order_history (delivery_seq);
CREATE INDEX quarantine_by_delivery ON quarantine (delivery_seq);

CREATE TABLE sink_changes_without_reference (
    name        TEXT NOT NULL REFERENCES sinks,
    change_seq  INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('ended', 'given_up', 'again')),
    reason      TEXT,
    given_up_at INTEGER,
    PRIMARY KEY (name, change_seq),
    CHECK ((state = 'ended') = (reason IS NULL) AND (state = 'ended') = (given_up_at IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO sink_changes_without_reference SELECT name, change_seq, state, reason, given_up_at FROM sink_changes;

DROP TABLE sink_changes;

ALTER TABLE sink_changes_without_reference RENAME TO sink_changes;

CREATE INDEX sink_changes_given_up ON sink_changes (name, state, change_seq) WHERE state <> 'ended';
