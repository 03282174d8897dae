-- A branch's orders, the newest last: somebody calls whose tickets have stopped. Written once for an order, which stays where it is.
CREATE INDEX orders_by_branch ON orders (branch_id);
