-- The platform's store, version 12: what operators and surfaces asked for under keys of their own, with what became of it, so that
-- it can be said again.

CREATE TABLE operator_writes (
    -- Whose key it is; 0 for the token that the platform was started with.
    token_id     INTEGER NOT NULL,
    key          TEXT NOT NULL,
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 32),
    outcome      TEXT NOT NULL CHECK (outcome IN ('done', 'unchanged', 'no_such_order', 'id_taken', 'move_refused', 'cart_final')),
    -- The order's record as it was answered with; it is kept as long as the key is.
    record_id    INTEGER REFERENCES records,
    -- What the order was when the change was refused, from which the reason follows.
    status       INTEGER,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (token_id, key),
    CHECK ((outcome IN ('done', 'unchanged')) = (record_id IS NOT NULL)),
    CHECK ((outcome IN ('move_refused', 'cart_final')) = (status IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX operator_writes_by_record ON operator_writes (record_id);
CREATE INDEX operator_writes_by_age ON operator_writes (created_at);
