-- Moves of slots between shards: how far each is, what its operator wishes, and, for people, how it goes.
-- The phase changes only by the arrows of the leading coordinator.
CREATE TABLE IF NOT EXISTS moves (
    move BIGINT UNSIGNED NOT NULL,
    kind TINYINT UNSIGNED NOT NULL,
    source INT UNSIGNED NOT NULL,
    target INT UNSIGNED NOT NULL,
    phase TINYINT UNSIGNED NOT NULL,
    attempt INT UNSIGNED NOT NULL,
    wish TINYINT UNSIGNED NOT NULL,
    aborted TINYINT UNSIGNED NULL,
    slots INT UNSIGNED NOT NULL,
    window_ms BIGINT UNSIGNED NOT NULL,
    rebalance BIGINT UNSIGNED NULL,
    reversed_by BIGINT UNSIGNED NULL,
    created_ms BIGINT NOT NULL,
    phase_ms BIGINT NOT NULL,
    blocked VARCHAR(32) NOT NULL,
    note VARCHAR(1024) NOT NULL,
    entities BIGINT UNSIGNED NOT NULL,
    entities_total BIGINT UNSIGNED NOT NULL,
    copied_rows BIGINT UNSIGNED NOT NULL,
    copied_bytes BIGINT UNSIGNED NOT NULL,
    lag_entities BIGINT UNSIGNED NOT NULL,
    pause_ms BIGINT UNSIGNED NULL,
    PRIMARY KEY (move),
    KEY by_phase (phase)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
