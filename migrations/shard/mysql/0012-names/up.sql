-- Claimed names. Bytes, so that a prefix is one range of the key whatever the collation. Not unique: who
-- owns a name is decided by its entity alone.
CREATE TABLE IF NOT EXISTS names (
    entity BIGINT UNSIGNED NOT NULL,
    name VARBINARY(255) NOT NULL,
    user BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (entity),
    KEY by_name (name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
