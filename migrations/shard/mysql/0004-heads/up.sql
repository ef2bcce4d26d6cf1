-- An entity's latest position. previous_ver is the ver that the last change found: the statement that
-- changes many heads at once compares it with ver, row by row.
CREATE TABLE IF NOT EXISTS heads (
    entity BIGINT UNSIGNED NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    ver BIGINT UNSIGNED NOT NULL,
    log BIGINT UNSIGNED NOT NULL,
    activity_ms BIGINT NOT NULL,
    previous_ver BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (entity)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
