-- Numbers that only grow: slots (the slot map's version), routers (the router list's number). Locked by
-- whoever changes what they number, so that numbers are committed in order.
CREATE TABLE IF NOT EXISTS counters (
    name VARCHAR(32) NOT NULL,
    value BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
