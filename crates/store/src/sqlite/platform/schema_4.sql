-- The platform's store, version 4: what nothing refers to any more can be removed.

-- SQLite looks for what refers to a row before it removes it, and orders and delivery_orders have no index by record: a
-- record could only be removed by reading both from end to end. An order's few rows are found by the order, so triggers say the same
-- by that way.

CREATE TABLE orders_4 (
    order_id    INTEGER PRIMARY KEY CHECK (order_id > 0),
    business_id INTEGER NOT NULL,
    branch_id   INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    version     INTEGER NOT NULL CHECK (version > 0),
    -- One of records; see the triggers below.
    record_id   INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    CHECK (created_at <= updated_at)
) STRICT;

INSERT INTO orders_4 SELECT order_id, business_id, branch_id, status, version, record_id, created_at, updated_at FROM orders;
DROP TABLE orders;
ALTER TABLE orders_4 RENAME TO orders;
CREATE INDEX orders_by_business ON orders (business_id, order_id);

CREATE TABLE delivery_orders_4 (
    delivery_seq INTEGER NOT NULL REFERENCES deliveries,
    position     INTEGER NOT NULL CHECK (position >= 0),
    order_id     INTEGER NOT NULL,
    -- One of records, of this order; see the triggers below.
    record_id    INTEGER NOT NULL,
    PRIMARY KEY (delivery_seq, position)
) STRICT, WITHOUT ROWID;

INSERT INTO delivery_orders_4 SELECT delivery_seq, position, order_id, record_id FROM delivery_orders;
DROP TABLE delivery_orders;
ALTER TABLE delivery_orders_4 RENAME TO delivery_orders;
CREATE UNIQUE INDEX delivery_orders_by_order ON delivery_orders (order_id, delivery_seq);

CREATE TRIGGER delivery_orders_carry_a_record BEFORE INSERT ON delivery_orders
WHEN NOT EXISTS (SELECT 1 FROM records WHERE record_id = NEW.record_id)
BEGIN
    SELECT RAISE(ABORT, 'a delivery carries a record that is not there');
END;

CREATE TRIGGER orders_have_a_record BEFORE INSERT ON orders
WHEN NOT EXISTS (SELECT 1 FROM records WHERE record_id = NEW.record_id)
BEGIN
    SELECT RAISE(ABORT, 'an order stands at a record that is not there');
END;

CREATE TRIGGER orders_keep_a_record BEFORE UPDATE OF record_id ON orders
WHEN NOT EXISTS (SELECT 1 FROM records WHERE record_id = NEW.record_id)
BEGIN
    SELECT RAISE(ABORT, 'an order stands at a record that is not there');
END;

CREATE TRIGGER records_are_kept_while_something_refers_to_them BEFORE DELETE ON records
WHEN EXISTS (SELECT 1 FROM orders WHERE order_id = OLD.order_id AND record_id = OLD.record_id)
  OR EXISTS (SELECT 1 FROM delivery_orders WHERE order_id = OLD.order_id AND record_id = OLD.record_id)
BEGIN
    SELECT RAISE(ABORT, 'something refers to this record');
END;
