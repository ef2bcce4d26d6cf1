-- What a shard's database is known to have seen: the newest term that reported, and the highest tally of
-- moves that a flip rested on.
CREATE TABLE IF NOT EXISTS marks (
    shard INTEGER NOT NULL,
    term INTEGER NOT NULL,
    tally INTEGER NOT NULL,
    PRIMARY KEY (shard)
) STRICT
