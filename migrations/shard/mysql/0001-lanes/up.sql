-- Which writer may commit. Data transactions lock their lane's row in share mode and never write it.
CREATE TABLE IF NOT EXISTS lanes (
    lane SMALLINT UNSIGNED NOT NULL,
    term BIGINT UNSIGNED NOT NULL,
    incarnation BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (lane)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
