-- The inbox's store, version 9: bodies that nobody is likely to look at are packed.
--
-- The states of one order are nearly the same, so the bodies of those that are over are packed together: one after the other, as one
-- zlib stream (RFC 1950), which has a checksum of what it unpacks to. Such a delivery has an empty body, and says in which pack
-- it is, behind how many bytes, and how many it has. What holds the newest state of an order is never packed.
--
-- Of the deliveries SQLite does not check it: looking through all bodies that are there would take as long as reading them.
ALTER TABLE deliveries ADD COLUMN pack_id INTEGER;
ALTER TABLE deliveries ADD COLUMN pack_offset INTEGER;
ALTER TABLE deliveries ADD COLUMN body_bytes INTEGER;

CREATE TABLE packs (
    pack_id  INTEGER PRIMARY KEY,
    bytes    BLOB NOT NULL,
    -- What it unpacks to has so many.
    unpacked INTEGER NOT NULL CHECK (unpacked > octet_length(bytes)),
    -- The deliveries that are still there. It goes with the last one.
    bodies   INTEGER NOT NULL CHECK (bodies > 0)
) STRICT;

-- Where packing goes on: behind this delivery of the order, in the order of the times at which the newest states came.
CREATE TABLE packing (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    received_at  INTEGER NOT NULL,
    order_id     INTEGER NOT NULL,
    delivery_seq INTEGER NOT NULL
) STRICT;

INSERT INTO packing VALUES (1, 0, 0, 0);
