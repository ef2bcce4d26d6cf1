-- What operators asked for: that slots be where shards and weights say. One at most is running.
CREATE TABLE IF NOT EXISTS rebalances (
    rebalance INTEGER NOT NULL,
    state INTEGER NOT NULL,
    window_ms INTEGER NOT NULL,
    started_by TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (rebalance)
) STRICT
