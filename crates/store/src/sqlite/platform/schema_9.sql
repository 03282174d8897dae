-- The platform's store, version 9: the names that people know orders by, and the figures of the past.

-- What a record calls its order: external_id, short_id, identity. Written with a new order and never changed.
CREATE TABLE order_names (
    name     TEXT NOT NULL CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 255),
    order_id INTEGER NOT NULL,
    PRIMARY KEY (name, order_id)
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO order_names (name, order_id)
SELECT CAST(n.value AS TEXT), o.order_id
FROM orders o JOIN records r ON r.record_id = o.record_id, json_each(r.record) n
WHERE n.key IN ('external_id', 'short_id', 'identity') AND n.type IN ('text', 'integer')
    AND length(CAST(n.value AS BLOB)) BETWEEN 1 AND 255;

-- What was done in a stretch of time, of all endpoints (0) or of one.
CREATE TABLE past_figures (
    endpoint_id INTEGER NOT NULL CHECK (endpoint_id >= 0),
    span_s      INTEGER NOT NULL CHECK (span_s IN (60, 900)),
    began_at    INTEGER NOT NULL,
    events      INTEGER NOT NULL CHECK (events >= 0),
    delivered   INTEGER NOT NULL CHECK (delivered >= 0),
    attempts    INTEGER NOT NULL CHECK (attempts >= 0),
    acknowledged INTEGER NOT NULL CHECK (acknowledged BETWEEN 0 AND attempts),
    dead        INTEGER NOT NULL CHECK (dead >= 0),
    -- Deliveries that were pending at its end.
    pending     INTEGER NOT NULL CHECK (pending >= 0),
    -- Of all: from the commit to the acknowledgement. Of one endpoint: how long its attempts took.
    p50_us      INTEGER CHECK (p50_us >= 0),
    p95_us      INTEGER CHECK (p95_us >= 0),
    p99_us      INTEGER CHECK (p99_us >= 0),
    PRIMARY KEY (endpoint_id, span_s, began_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX past_figures_by_age ON past_figures (began_at);
