-- The platform's store, version 2: what was added to version 1, table by table.

-- ---------------------------------------------------------------- attempts

-- How long the phases took; NULL for one that did not come to its end, or was not needed.
ALTER TABLE webhook_logs ADD COLUMN resolve_us INTEGER CHECK (resolve_us >= 0);
ALTER TABLE webhook_logs ADD COLUMN connect_us INTEGER CHECK (connect_us >= 0);
ALTER TABLE webhook_logs ADD COLUMN tls_us INTEGER CHECK (tls_us >= 0);
ALTER TABLE webhook_logs ADD COLUMN first_byte_us INTEGER CHECK (first_byte_us >= 0);

-- ---------------------------------------------------------------- replays

-- The place in line of a delivery that was sent again after it had ended: replays are numbered by themselves, and stand
-- behind everything fresh. Kept when it has ended once more; another replay gives it another number.
ALTER TABLE deliveries ADD COLUMN replay_no INTEGER CHECK (replay_no > 0);

-- When it was replayed: the hold time runs from here.
ALTER TABLE deliveries ADD COLUMN replayed_at INTEGER CHECK ((replayed_at IS NULL) = (replay_no IS NULL));

-- A number is given once; and what an attempt is of can be found by it.
CREATE UNIQUE INDEX deliveries_by_replay ON deliveries (replay_no) WHERE replay_no IS NOT NULL;

-- An endpoint's replays, in their order. Few: what is fresh has the index deliveries_pending.
CREATE INDEX deliveries_replayed ON deliveries (endpoint_id, replay_no) WHERE state = 'pending' AND replay_no IS NOT NULL;
