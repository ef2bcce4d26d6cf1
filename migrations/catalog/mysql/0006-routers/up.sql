-- The live routers. until_ms is judged by this server's clock.
CREATE TABLE IF NOT EXISTS routers (
    router VARCHAR(255) NOT NULL,
    address VARCHAR(255) NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (router)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
