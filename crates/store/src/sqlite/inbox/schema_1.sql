-- The inbox's store, version 1. Never changed: another schema is another file after this one.
--
-- Columns ending in _at are times: integer milliseconds since 1970-01-01T00:00:00Z. Statuses are codes as they stand
-- in the records.
--
-- A record's bytes are stored once, within the body that brought them; the view and the history say where.

-- What was received, each id once: the raw bytes that were signed.
CREATE TABLE deliveries (
    delivery_seq INTEGER PRIMARY KEY,
    delivery_id  TEXT NOT NULL,
    event_type   TEXT,
    body         BLOB NOT NULL,
    received_at  INTEGER NOT NULL
) STRICT;

-- A repeat is known by its id.
CREATE UNIQUE INDEX deliveries_by_id ON deliveries (delivery_id);

-- The view: for each order its newest state. The record is record_bytes of the delivery's body from record_offset on.
CREATE TABLE orders (
    order_id      INTEGER PRIMARY KEY CHECK (order_id > 0),
    status        INTEGER,
    version       INTEGER,
    updated_at    INTEGER,
    delivery_seq  INTEGER NOT NULL REFERENCES deliveries,
    record_offset INTEGER NOT NULL CHECK (record_offset >= 0),
    record_bytes  INTEGER NOT NULL CHECK (record_bytes > 0),
    received_at   INTEGER NOT NULL
) STRICT;

-- All states that came, in the order of arrival: one tree, each order's states side by side.
CREATE TABLE order_history (
    order_id     INTEGER NOT NULL,
    delivery_seq INTEGER NOT NULL REFERENCES deliveries,
    position     INTEGER NOT NULL CHECK (position >= 0),
    status       INTEGER,
    version      INTEGER,
    updated_at   INTEGER,
    applied      INTEGER NOT NULL CHECK (applied IN (0, 1)),
    PRIMARY KEY (order_id, delivery_seq, position)
) STRICT, WITHOUT ROWID;

-- Genuine, and not to be read. A position of NULL means the whole body.
CREATE TABLE quarantine (
    quarantine_id INTEGER PRIMARY KEY,
    delivery_seq  INTEGER NOT NULL REFERENCES deliveries,
    position      INTEGER CHECK (position >= 0),
    reason        TEXT NOT NULL,
    bytes         BLOB NOT NULL
) STRICT;

-- The view with its records as text, for whoever looks at this file with a tool of their own.
CREATE VIEW order_records AS
    SELECT o.order_id, o.status, o.version, d.delivery_id, o.received_at,
        CAST(substr(d.body, o.record_offset + 1, o.record_bytes) AS TEXT) AS record
    FROM orders o JOIN deliveries d ON d.delivery_seq = o.delivery_seq;

-- Kept exactly, by the transaction that changes what they count.
CREATE TABLE totals (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    orders      INTEGER NOT NULL CHECK (orders >= 0),
    received    INTEGER NOT NULL CHECK (received >= 0),
    quarantined INTEGER NOT NULL CHECK (quarantined >= 0)
) STRICT;

INSERT INTO totals VALUES (1, 0, 0, 0);
