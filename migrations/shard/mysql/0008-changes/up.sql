-- Durable changes that are not new messages: what clients resume from.
CREATE TABLE IF NOT EXISTS changes (
    entity BIGINT UNSIGNED NOT NULL,
    ver BIGINT UNSIGNED NOT NULL,
    kind TINYINT UNSIGNED NOT NULL,
    subject BIGINT UNSIGNED NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (entity, ver)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
