-- The inbox's store, version 2: where a delivery came from, by what orders are found, the line of changes that others
-- follow, and how far each sink has followed it.

-- What the envelope says of its orders, the name of the secret that the signature was made with, and the headers worth
-- keeping: an object of texts.
ALTER TABLE deliveries ADD COLUMN source TEXT NOT NULL DEFAULT 'webhook' CHECK (source IN ('webhook', 'reconcile'));
ALTER TABLE deliveries ADD COLUMN secret TEXT;
ALTER TABLE deliveries ADD COLUMN headers TEXT;
ALTER TABLE deliveries ADD COLUMN brand_id INTEGER;
ALTER TABLE deliveries ADD COLUMN branch_id INTEGER;

-- What orders are looked for by, read off the record; the branch off the envelope where the record names none.
ALTER TABLE orders ADD COLUMN branch_id INTEGER;
ALTER TABLE orders ADD COLUMN external_id TEXT;
ALTER TABLE orders ADD COLUMN short_id TEXT;
ALTER TABLE orders ADD COLUMN identity TEXT;
ALTER TABLE orders ADD COLUMN created_at INTEGER;

-- The brands of an order: those that its records name, and those of the envelopes that it came in.
CREATE TABLE order_brands (
    brand_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL REFERENCES orders,
    PRIMARY KEY (brand_id, order_id)
) STRICT, WITHOUT ROWID;

-- Every renewal of the view, in the order of commits, and so each order's in its order. The numbers only rise, and
-- some may never be given. The record is within the delivery's body, as that of an order is.
CREATE TABLE changes (
    change_seq    INTEGER PRIMARY KEY CHECK (change_seq > 0),
    order_id      INTEGER NOT NULL REFERENCES orders,
    delivery_seq  INTEGER NOT NULL REFERENCES deliveries,
    position      INTEGER NOT NULL CHECK (position >= 0),
    record_offset INTEGER NOT NULL CHECK (record_offset >= 0),
    record_bytes  INTEGER NOT NULL CHECK (record_bytes > 0)
) STRICT;

-- Who follows the changes, and the number up to which each has ended for it. One that is not in the configuration any
-- more has left.
CREATE TABLE sinks (
    name     TEXT PRIMARY KEY CHECK (name <> ''),
    position INTEGER NOT NULL CHECK (position >= 0),
    made_at  INTEGER NOT NULL,
    left_at  INTEGER
) STRICT, WITHOUT ROWID;

-- What has ended for a sink above its position; and what it has given up, wherever that is, until it has been handed on
-- after all: 'again' is what was asked for.
CREATE TABLE sink_changes (
    name        TEXT NOT NULL REFERENCES sinks,
    change_seq  INTEGER NOT NULL REFERENCES changes,
    state       TEXT NOT NULL CHECK (state IN ('ended', 'given_up', 'again')),
    reason      TEXT,
    given_up_at INTEGER,
    PRIMARY KEY (name, change_seq),
    CHECK ((state = 'ended') = (reason IS NULL) AND (state = 'ended') = (given_up_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX sink_changes_given_up ON sink_changes (name, state, change_seq) WHERE state <> 'ended';

-- The last number of a change that was given, and the number up to which changes were removed.
ALTER TABLE totals ADD COLUMN last_change INTEGER NOT NULL DEFAULT 0 CHECK (last_change >= 0);
ALTER TABLE totals ADD COLUMN changes_removed_to INTEGER NOT NULL DEFAULT 0
    CHECK (changes_removed_to BETWEEN 0 AND last_change);

-- What is there already: each order is one change, that to its newest state. Of states before it, version 1 does not
-- say where in a body they stand.
INSERT INTO changes
    SELECT row_number() OVER (ORDER BY o.delivery_seq, o.record_offset), o.order_id, o.delivery_seq,
        (SELECT max(h.position) FROM order_history h
         WHERE h.order_id = o.order_id AND h.delivery_seq = o.delivery_seq AND h.applied = 1),
        o.record_offset, o.record_bytes
    FROM orders o;

UPDATE totals SET last_change = (SELECT coalesce(max(change_seq), 0) FROM changes);

-- SQLite refuses to read JSON that is nested very deep; such an order is not found by these columns until it comes
-- again.
UPDATE deliveries SET
    brand_id = CASE json_type(CAST(body AS TEXT), '$.brand_id')
        WHEN 'integer' THEN json_extract(CAST(body AS TEXT), '$.brand_id') END,
    branch_id = CASE json_type(CAST(body AS TEXT), '$.branch_id')
        WHEN 'integer' THEN json_extract(CAST(body AS TEXT), '$.branch_id') END
WHERE delivery_seq IN (SELECT delivery_seq FROM orders) AND json_valid(CAST(body AS TEXT));

UPDATE orders SET
    branch_id = CASE json_type(r.record, '$.branch_id')
        WHEN 'integer' THEN json_extract(r.record, '$.branch_id') ELSE r.envelope_branch_id END,
    external_id = CASE WHEN json_type(r.record, '$.external_id') IN ('text', 'integer')
            AND octet_length(json_extract(r.record, '$.external_id')) BETWEEN 1 AND 255
        THEN CAST(json_extract(r.record, '$.external_id') AS TEXT) END,
    short_id = CASE WHEN json_type(r.record, '$.short_id') IN ('text', 'integer')
            AND octet_length(json_extract(r.record, '$.short_id')) BETWEEN 1 AND 255
        THEN CAST(json_extract(r.record, '$.short_id') AS TEXT) END,
    identity = CASE WHEN json_type(r.record, '$.identity') IN ('text', 'integer')
            AND octet_length(json_extract(r.record, '$.identity')) BETWEEN 1 AND 255
        THEN CAST(json_extract(r.record, '$.identity') AS TEXT) END,
    created_at = CASE json_type(r.record, '$.created_at')
        WHEN 'integer' THEN json_extract(r.record, '$.created_at')
            * CASE WHEN json_extract(r.record, '$.created_at') BETWEEN -99999999999 AND 99999999999 THEN 1000 ELSE 1 END
        WHEN 'text' THEN
            CAST(round(unixepoch(json_extract(r.record, '$.created_at'), 'subsec') * 1000) AS INTEGER) END
FROM (SELECT v.order_id, v.record, d.branch_id AS envelope_branch_id
      FROM order_records v JOIN orders o ON o.order_id = v.order_id
      JOIN deliveries d ON d.delivery_seq = o.delivery_seq) AS r
WHERE r.order_id = orders.order_id AND json_valid(r.record);

INSERT INTO order_brands
    SELECT d.brand_id, o.order_id FROM orders o JOIN deliveries d ON d.delivery_seq = o.delivery_seq
        WHERE d.brand_id IS NOT NULL
    UNION
    SELECT json_extract(b.value, '$.id'), v.order_id
        FROM order_records v, json_each(CASE WHEN json_valid(v.record) THEN v.record ELSE '{}' END, '$.brands') b
        WHERE b.type = 'object' AND json_type(b.value, '$.id') = 'integer';

-- Pages of orders go by order_id, which each of these has at its end, or by the time of the newest state.
CREATE INDEX orders_by_received ON orders (received_at);
CREATE INDEX orders_by_status ON orders (status);
CREATE INDEX orders_by_branch ON orders (branch_id) WHERE branch_id IS NOT NULL;
CREATE INDEX orders_by_external_id ON orders (external_id COLLATE NOCASE) WHERE external_id IS NOT NULL;
CREATE INDEX orders_by_short_id ON orders (short_id COLLATE NOCASE) WHERE short_id IS NOT NULL;
