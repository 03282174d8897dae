-- The platform's store, version 3: what was added to version 2, table by table.

-- ---------------------------------------------------------------- replays of many deliveries

-- A durable job. It looks through the deliveries, or through the events for what a registration missed, up to the last one
-- that there was when it was asked for, and puts in line what it finds.
CREATE TABLE replays (
    replay_id   INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('same_ids', 'new_ids', 'missed')),
    -- 0: each order's newest record once.
    history     INTEGER NOT NULL CHECK (history IN (0, 1)),
    -- The filter; NULL is no condition.
    endpoint_id INTEGER REFERENCES endpoints,
    webhook_id  INTEGER REFERENCES webhooks,
    order_id    INTEGER,
    event_type  TEXT CHECK (event_type IN
        ('klikit.order.created.v2', 'klikit.order.status.updated', 'klikit.order.cart.updated')),
    of_state    TEXT CHECK (of_state IN ('delivered', 'dead', 'cancelled')),
    since       INTEGER,
    until       INTEGER,
    state       TEXT NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'done')),
    looked_to   INTEGER NOT NULL CHECK (looked_to >= 0),
    looks_to    INTEGER NOT NULL,
    queued      INTEGER NOT NULL CHECK (queued >= 0),
    delivered   INTEGER NOT NULL CHECK (delivered >= 0),
    dead        INTEGER NOT NULL CHECK (dead >= 0),
    cancelled   INTEGER NOT NULL CHECK (cancelled >= 0),
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    CHECK (looked_to <= looks_to),
    CHECK (delivered + dead + cancelled <= queued),
    CHECK ((state IN ('cancelled', 'done')) = (finished_at IS NOT NULL)),
    CHECK (state <> 'done' OR (looked_to = looks_to AND delivered + dead + cancelled = queued)),
    CHECK (kind <> 'same_ids' OR history = 1),
    CHECK (kind <> 'missed' OR
        (webhook_id IS NOT NULL AND endpoint_id IS NULL AND event_type IS NULL AND of_state IS NULL))
) STRICT;

-- The replay that put a delivery in line last; NULL where an operator did it for this one alone.
ALTER TABLE deliveries ADD COLUMN replay_id INTEGER REFERENCES replays CHECK (replay_id IS NULL OR replay_no IS NOT NULL);

-- What of a replay is in line, and where.
CREATE INDEX deliveries_of_replay ON deliveries (replay_id, endpoint_id) WHERE state = 'pending' AND replay_id IS NOT NULL;

-- ---------------------------------------------------------------- registrations: how they are served

-- Concern the endpoint: the strictest of its registrations counts.
ALTER TABLE webhooks ADD COLUMN ordering TEXT NOT NULL DEFAULT 'per_order' CHECK (ordering IN ('per_order', 'none'));
ALTER TABLE webhooks ADD COLUMN in_flight_max INTEGER CHECK (in_flight_max > 0);
ALTER TABLE webhooks ADD COLUMN rate_per_second_max INTEGER CHECK (rate_per_second_max > 0);
-- Concern the registration alone.
ALTER TABLE webhooks ADD COLUMN orders_per_delivery_max INTEGER CHECK (orders_per_delivery_max > 0);
ALTER TABLE webhooks ADD COLUMN is_coalescing INTEGER NOT NULL DEFAULT 0 CHECK (is_coalescing IN (0, 1));
