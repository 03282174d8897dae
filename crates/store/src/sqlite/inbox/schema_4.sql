-- The inbox's store, version 4: the highest version, time and status that came of an order, also in states that the view
-- no longer has or never had. They tell what is old where the newest state lacks one of them.
ALTER TABLE orders ADD COLUMN seen_version INTEGER;
ALTER TABLE orders ADD COLUMN seen_updated_at INTEGER;
ALTER TABLE orders ADD COLUMN seen_status INTEGER;

-- Which of several statuses is the highest depends on their codes, which are not known here.
UPDATE orders SET
    seen_version = (SELECT max(h.version) FROM order_history h WHERE h.order_id = orders.order_id),
    seen_updated_at = (SELECT max(h.updated_at) FROM order_history h WHERE h.order_id = orders.order_id),
    seen_status = status;
