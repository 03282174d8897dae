-- The platform's store, version 5: replays that have work left are found among however many have ended.

-- Those that have not ended: few, because only so many may be open.
CREATE INDEX replays_open ON replays (replay_id) WHERE finished_at IS NULL;

-- Those with something to put in line or to take back. The condition is the one that is asked with, word by word.
CREATE INDEX replays_to_do ON replays (replay_id)
    WHERE (state = 'cancelled' AND queued > delivered + dead + cancelled) OR (state = 'running' AND looked_to < looks_to);
