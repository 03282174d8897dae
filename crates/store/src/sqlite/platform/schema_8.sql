-- The platform's store, version 8: what the Partner API asks for, and what it keeps.

-- The ids of an order's brands, an array. They stay what they were at its creation, so they are written once, and a search
-- by brand need not look into the records.
ALTER TABLE orders ADD COLUMN brands TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(brands));

UPDATE orders SET brands = (
    SELECT json_group_array(json_extract(b.value, '$.id'))
    FROM records r, json_each(r.record, '$.brands') b WHERE r.record_id = orders.record_id
);

-- A business's orders by the time of their creation. Touched by a creation only, and grows at the end of each business.
CREATE INDEX orders_by_creation ON orders (business_id, created_at, order_id);

-- What partners asked for under keys of their own, with what became of it, so that it can be said again.
CREATE TABLE partner_writes (
    partner_id   TEXT NOT NULL REFERENCES partners,
    key          TEXT NOT NULL,
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 32),
    outcome      TEXT NOT NULL CHECK (outcome IN ('moved', 'move_refused', 'no_such_order',
        'replayed', 'delivery_pending', 'webhook_removed', 'no_such_delivery')),
    -- The order's record as it was answered with; it is kept as long as the key is.
    record_id    INTEGER REFERENCES records,
    refusal      TEXT,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (partner_id, key),
    CHECK ((outcome = 'moved') = (record_id IS NOT NULL)),
    CHECK ((outcome = 'move_refused') = (refusal IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX partner_writes_by_record ON partner_writes (record_id);
CREATE INDEX partner_writes_by_age ON partner_writes (created_at);

-- The highest number of an event that was removed for its age: whoever has read less far has missed something.
ALTER TABLE totals ADD COLUMN events_removed_to INTEGER NOT NULL DEFAULT 0 CHECK (events_removed_to >= 0);

UPDATE totals SET events_removed_to =
    coalesce((SELECT min(event_seq) - 1 FROM events), (SELECT max(record_id) FROM records), 0);
