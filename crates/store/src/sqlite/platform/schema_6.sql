-- The platform's store, version 6: operator tokens.

CREATE TABLE operator_tokens (
    token_id   INTEGER PRIMARY KEY CHECK (token_id > 0),
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('admin', 'support', 'surface')),
    -- A keyed hash; the key is not in this file.
    token_hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

-- A name is somebody's for as long as a token with it is in use.
CREATE UNIQUE INDEX operator_tokens_in_use ON operator_tokens (name) WHERE revoked_at IS NULL;
