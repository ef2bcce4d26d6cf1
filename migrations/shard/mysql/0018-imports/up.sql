-- How far each slot's import has come; changes with the rows it brought.
CREATE TABLE IF NOT EXISTS imports (
    slot SMALLINT UNSIGNED NOT NULL,
    move_id BIGINT UNSIGNED NOT NULL,
    attempt INT UNSIGNED NOT NULL,
    step BIGINT UNSIGNED NOT NULL,
    entity BIGINT UNSIGNED NOT NULL,
    continuation VARBINARY(255) NOT NULL,
    copied_rows BIGINT UNSIGNED NOT NULL,
    copied_bytes BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (slot)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
