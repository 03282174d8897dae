-- The inbox's store, version 8: what has ended for a sink above its position is kept as stretches of consecutive changes. So one
-- change that a sink refuses lets any number behind it end, for one row.
CREATE TABLE sink_ended (
    name      TEXT NOT NULL REFERENCES sinks,
    first_seq INTEGER NOT NULL CHECK (first_seq > 0),
    last_seq  INTEGER NOT NULL CHECK (last_seq >= first_seq),
    PRIMARY KEY (name, first_seq)
) STRICT, WITHOUT ROWID;

-- Those of one stretch are as far apart as they are in line.
INSERT INTO sink_ended
    SELECT name, min(change_seq), max(change_seq)
    FROM (SELECT c.name, c.change_seq, c.change_seq - row_number() OVER (PARTITION BY c.name ORDER BY c.change_seq) AS stretch
          FROM sink_changes c JOIN sinks s ON s.name = c.name WHERE c.change_seq > s.position)
    GROUP BY name, stretch;

-- What a sink has given up, wherever that is, until it has been handed on after all: 'again' is what was asked for.
CREATE TABLE sink_given_up (
    name        TEXT NOT NULL REFERENCES sinks,
    change_seq  INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('given_up', 'again')),
    reason      TEXT NOT NULL,
    given_up_at INTEGER NOT NULL,
    PRIMARY KEY (name, change_seq)
) STRICT, WITHOUT ROWID;

INSERT INTO sink_given_up
    SELECT name, change_seq, state, reason, given_up_at FROM sink_changes WHERE state <> 'ended';

DROP TABLE sink_changes;

CREATE INDEX sink_given_up_again ON sink_given_up (name, change_seq) WHERE state = 'again';
