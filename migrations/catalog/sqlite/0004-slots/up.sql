-- The truth about which shard owns which slot. version is that of the slot map when the row last
-- changed: routers ask for what changed since theirs. The whole table is small enough to be read.
CREATE TABLE IF NOT EXISTS slots (
    slot INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (slot)
) STRICT
