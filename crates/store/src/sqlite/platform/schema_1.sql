-- The platform's store, version 1. Never changed: another schema is another file after this one.
--
-- Columns ending in _at are times: integer milliseconds since 1970-01-01T00:00:00Z. Statuses are codes as they stand
-- in the records. Words are the ones of the contract.
--
-- What each tick writes is kept small on purpose. For a change and its delivery these trees are touched: orders,
-- records with one index, events, deliveries with two indexes, delivery_orders with one index, webhook_logs. All but
-- orders, records_by_order and delivery_orders_by_order grow at their end.

-- ---------------------------------------------------------------- the hierarchy: business, brands, branches

CREATE TABLE businesses (
    business_id INTEGER PRIMARY KEY,
    name        TEXT NOT NULL
) STRICT;

-- A brand belongs to one business: its id is the key.
CREATE TABLE brands (
    brand_id    INTEGER PRIMARY KEY,
    business_id INTEGER NOT NULL REFERENCES businesses,
    title       TEXT NOT NULL
) STRICT;

CREATE INDEX brands_by_business ON brands (business_id);

CREATE TABLE brand_branches (
    brand_id  INTEGER NOT NULL REFERENCES brands ON DELETE CASCADE,
    branch_id INTEGER NOT NULL,
    PRIMARY KEY (brand_id, branch_id)
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- partners, endpoints, registrations

-- Secrets are opaque here: hashed or encrypted before they come.
CREATE TABLE partners (
    partner_id     TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    business_id    INTEGER NOT NULL,
    scopes         TEXT NOT NULL CHECK (json_valid(scopes)),
    partner_key    TEXT NOT NULL UNIQUE,
    secret_hash    BLOB NOT NULL,
    webhook_secret BLOB NOT NULL,
    created_at     INTEGER NOT NULL,
    revoked_at     INTEGER
) STRICT;

CREATE TABLE endpoints (
    endpoint_id INTEGER PRIMARY KEY,
    partner_id  TEXT NOT NULL REFERENCES partners,
    url         TEXT NOT NULL,
    -- Since when and why nothing is sent to it; NULL while deliveries flow.
    held_at     INTEGER,
    held_reason TEXT CHECK (held_reason IN ('operator', 'gone')),
    UNIQUE (partner_id, url),
    CHECK ((held_at IS NULL) = (held_reason IS NULL))
) STRICT;

-- A brand or branch of NULL means any.
CREATE TABLE webhooks (
    webhook_id  INTEGER PRIMARY KEY,
    partner_id  TEXT NOT NULL REFERENCES partners,
    endpoint_id INTEGER NOT NULL REFERENCES endpoints,
    brand_id    INTEGER CHECK (brand_id > 0),
    branch_id   INTEGER CHECK (branch_id > 0),
    event_type  TEXT NOT NULL CHECK (event_type IN
        ('klikit.order.created.v2', 'klikit.order.status.updated', 'klikit.order.cart.updated')),
    basic_auth  BLOB,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

-- One registration per (partner, brand or any, branch or any, event type). Ids are above zero, so 0 stands for any.
CREATE UNIQUE INDEX webhooks_one_per_tuple
    ON webhooks (partner_id, coalesce(brand_id, 0), coalesce(branch_id, 0), event_type);

-- Which endpoints does a registration still point at?
CREATE INDEX webhooks_by_endpoint ON webhooks (endpoint_id);

-- ---------------------------------------------------------------- orders and what happened to them

-- The bytes of an order at one version, stored once: orders, events and deliveries point here.
CREATE TABLE records (
    record_id INTEGER PRIMARY KEY,
    order_id  INTEGER NOT NULL,
    version   INTEGER NOT NULL CHECK (version > 0),
    record    TEXT NOT NULL
) STRICT;

-- A version exists once; and an order's versions can be found.
CREATE UNIQUE INDEX records_by_order ON records (order_id, version);

CREATE TABLE orders (
    order_id    INTEGER PRIMARY KEY CHECK (order_id > 0),
    business_id INTEGER NOT NULL,
    branch_id   INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    version     INTEGER NOT NULL CHECK (version > 0),
    record_id   INTEGER NOT NULL REFERENCES records,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    CHECK (created_at <= updated_at)
) STRICT;

-- Lists of a business's orders, by id. Touched by a creation only.
CREATE INDEX orders_by_business ON orders (business_id, order_id);

-- One event for each record, and so for each change: the number is the record's.
CREATE TABLE events (
    event_seq   INTEGER PRIMARY KEY REFERENCES records (record_id),
    event_type  TEXT NOT NULL,
    status_from INTEGER,
    status_to   INTEGER NOT NULL,
    actor       TEXT NOT NULL CHECK (actor IN ('operator', 'partner')),
    occurred_at INTEGER,
    created_at  INTEGER NOT NULL,
    CHECK (event_type IN
        ('klikit.order.created.v2', 'klikit.order.status.updated', 'klikit.order.cart.updated')),
    CHECK ((event_type = 'klikit.order.created.v2') = (status_from IS NULL)),
    CHECK (event_type <> 'klikit.order.status.updated' OR status_from <> status_to),
    CHECK (event_type <> 'klikit.order.cart.updated' OR status_from = status_to)
) STRICT;

-- ---------------------------------------------------------------- deliveries and their attempts

-- The body is not here: it follows from brand, branch and the records, by the form that envelope_format names.
CREATE TABLE deliveries (
    delivery_seq    INTEGER PRIMARY KEY,
    delivery_id     TEXT NOT NULL,
    endpoint_id     INTEGER NOT NULL REFERENCES endpoints,
    webhook_id      INTEGER NOT NULL REFERENCES webhooks,
    event_type      TEXT NOT NULL,
    brand_id        INTEGER NOT NULL,
    branch_id       INTEGER NOT NULL,
    envelope_format INTEGER NOT NULL CHECK (envelope_format = 1),
    state           TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'cancelled')),
    attempts        INTEGER NOT NULL CHECK (attempts >= 0),
    -- Attempts that count against the retry plan; the others only found the endpoint down.
    failures        INTEGER NOT NULL CHECK (failures BETWEEN 0 AND attempts),
    next_attempt_at INTEGER,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    CHECK (event_type IN
        ('klikit.order.created.v2', 'klikit.order.status.updated', 'klikit.order.cart.updated')),
    CHECK ((state = 'pending') = (finished_at IS NULL)),
    CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;

-- A public id names one delivery. Ids ascend, so this tree grows at its end.
CREATE UNIQUE INDEX deliveries_by_id ON deliveries (delivery_id);

-- An endpoint's lanes: what is pending there, in the order of commits. Holds only the backlog.
CREATE INDEX deliveries_pending ON deliveries (endpoint_id, delivery_seq) WHERE state = 'pending';

-- What was given up or taken back: few among many, and looked for by people.
CREATE INDEX deliveries_given_up ON deliveries (state, delivery_seq) WHERE state = 'dead' OR state = 'cancelled';

CREATE TABLE delivery_orders (
    delivery_seq INTEGER NOT NULL REFERENCES deliveries,
    position     INTEGER NOT NULL CHECK (position >= 0),
    order_id     INTEGER NOT NULL,
    record_id    INTEGER NOT NULL REFERENCES records,
    PRIMARY KEY (delivery_seq, position)
) STRICT, WITHOUT ROWID;

-- No order twice in a delivery; and an order's deliveries can be found.
CREATE UNIQUE INDEX delivery_orders_by_order ON delivery_orders (order_id, delivery_seq);

-- Attempts. The key is the one that makes writing an attempt twice harmless, and there is no other tree.
CREATE TABLE webhook_logs (
    delivery_seq INTEGER NOT NULL REFERENCES deliveries,
    attempt      INTEGER NOT NULL CHECK (attempt > 0),
    started_at   INTEGER NOT NULL,
    duration_us  INTEGER NOT NULL CHECK (duration_us >= 0),
    outcome      TEXT NOT NULL CHECK (outcome IN ('acknowledged', 'refused', 'timed_out', 'name_not_resolved',
        'address_forbidden', 'connect_failed', 'tls_failed', 'connection_lost', 'answer_unreadable')),
    http_status  INTEGER CHECK (http_status BETWEEN 100 AND 999),
    address      TEXT,
    answer       BLOB NOT NULL,
    error        TEXT,
    -- When the next attempt was to be, where one was: what followed from this one can be read off its row.
    next_attempt_at INTEGER,
    -- Whether it counts against the retry plan.
    counted      INTEGER NOT NULL CHECK (counted IN (0, 1)),
    PRIMARY KEY (delivery_seq, attempt),
    CHECK ((outcome IN ('acknowledged', 'refused')) = (http_status IS NOT NULL)),
    CHECK (outcome <> 'acknowledged' OR http_status BETWEEN 200 AND 299),
    CHECK (outcome <> 'refused' OR http_status NOT BETWEEN 200 AND 299),
    CHECK (outcome <> 'acknowledged' OR next_attempt_at IS NULL)
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- totals

-- Kept exactly, by the transaction that changes what they count: counting ten million rows is no answer to a
-- question that is asked every second.
CREATE TABLE totals (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    orders    INTEGER NOT NULL CHECK (orders >= 0),
    events    INTEGER NOT NULL CHECK (events >= 0),
    pending   INTEGER NOT NULL CHECK (pending >= 0),
    delivered INTEGER NOT NULL CHECK (delivered >= 0),
    dead      INTEGER NOT NULL CHECK (dead >= 0),
    cancelled INTEGER NOT NULL CHECK (cancelled >= 0),
    attempts  INTEGER NOT NULL CHECK (attempts >= 0)
) STRICT;

INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0);
