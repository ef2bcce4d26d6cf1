-- Which run of its process has a router's id: a second process with the same id is told.
CREATE TABLE IF NOT EXISTS router_boots (
    router VARCHAR(255) NOT NULL,
    boot BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (router)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
