-- Numbers of records and deliveries are given above this one. A store that is made of a copy leaves some out: those that were
-- given after the copy was made were told to partners, and are not given twice.
ALTER TABLE totals ADD COLUMN numbers_after INTEGER NOT NULL DEFAULT 0 CHECK (numbers_after >= 0);
