-- The inbox's store, version 6: numbers of what is in quarantine are never given again. Who discards one means what was looked
-- at, and not what came under its number since.
CREATE TABLE quarantine_numbered (
    quarantine_id INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_seq  INTEGER NOT NULL REFERENCES deliveries,
    position      INTEGER CHECK (position >= 0),
    reason        TEXT NOT NULL,
    bytes         BLOB NOT NULL
) STRICT;

INSERT INTO quarantine_numbered SELECT quarantine_id, delivery_seq, position, reason, bytes FROM quarantine;

DROP TABLE quarantine;

ALTER TABLE quarantine_numbered RENAME TO quarantine;

CREATE INDEX quarantine_by_delivery ON quarantine (delivery_seq);
