-- The platform's store, version 7: what operators did.

-- Written with what it is about, in one transaction.
CREATE TABLE audit (
    audit_id   INTEGER PRIMARY KEY,
    done_at    INTEGER NOT NULL,
    -- One of operator_tokens; 0 is the token that the platform was started with.
    token_id   INTEGER NOT NULL CHECK (token_id >= 0),
    action     TEXT NOT NULL,
    -- The id of what it was done to.
    target     TEXT NOT NULL,
    address    TEXT NOT NULL,
    request_id TEXT NOT NULL
) STRICT;
