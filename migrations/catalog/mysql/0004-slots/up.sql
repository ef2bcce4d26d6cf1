-- The truth about which shard owns which slot. version is that of the slot map when the row last
-- changed: routers ask for what changed since theirs.
CREATE TABLE IF NOT EXISTS slots (
    slot SMALLINT UNSIGNED NOT NULL,
    shard INT UNSIGNED NOT NULL,
    epoch BIGINT UNSIGNED NOT NULL,
    version BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (slot),
    KEY by_version (version),
    KEY by_shard (shard)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
