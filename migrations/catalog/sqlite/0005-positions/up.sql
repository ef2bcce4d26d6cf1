-- The highest journal positions a shard's writers reported, by lane. A start that finds less in the
-- shard's database is a restore.
CREATE TABLE IF NOT EXISTS positions (
    shard INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    relayed INTEGER NOT NULL,
    PRIMARY KEY (shard, lane)
) STRICT
