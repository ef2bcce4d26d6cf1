-- The shards, and who may write each. A writer_term is granted once. until_ms is judged by this
-- machine's clock; 0: released.
CREATE TABLE IF NOT EXISTS shards (
    shard INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    state INTEGER NOT NULL,
    writer_term INTEGER NOT NULL,
    writer TEXT NOT NULL,
    address TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    reported_ms INTEGER NULL,
    durability TEXT NOT NULL,
    PRIMARY KEY (shard)
) STRICT
