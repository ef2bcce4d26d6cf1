-- Moves of slots between shards: how far each is, what its operator wishes, and, for people, how it goes.
-- The phase changes only by the arrows of the leading coordinator.
CREATE TABLE IF NOT EXISTS moves (
    move INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    source INTEGER NOT NULL,
    target INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    wish INTEGER NOT NULL,
    aborted INTEGER,
    slots INTEGER NOT NULL,
    window_ms INTEGER NOT NULL,
    rebalance INTEGER,
    reversed_by INTEGER,
    created_ms INTEGER NOT NULL,
    phase_ms INTEGER NOT NULL,
    blocked TEXT NOT NULL,
    note TEXT NOT NULL,
    entities INTEGER NOT NULL,
    entities_total INTEGER NOT NULL,
    copied_rows INTEGER NOT NULL,
    copied_bytes INTEGER NOT NULL,
    lag_entities INTEGER NOT NULL,
    pause_ms INTEGER,
    PRIMARY KEY (move)
) STRICT
