-- The platform's store, version 2: what was added to version 1, table by table.

-- ---------------------------------------------------------------- registrations and partners

-- ---------------------------------------------------------------- attempts and retention

-- ---------------------------------------------------------------- replays
