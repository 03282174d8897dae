//! The codes of `fulfillment_status_id`: where a courier stands with an order.

/// The published codes, each with its name. Records may carry others, which are kept as they are.
pub const FULFILLMENT_STATUSES: [(i64, &str); 11] = [
    (1, "DISPATCHING"),
    (2, "ALLOCATING"),
    (3, "PENDING_PICKUP"),
    (4, "PICKING_UP"),
    (5, "IN_DELIVERY"),
    (6, "COMPLETED"),
    (7, "RETURNED"),
    (8, "FAILED"),
    (9, "CANCELED"),
    (10, "IN_RETURN"),
    (11, "DISPATCH_FAILED"),
];
