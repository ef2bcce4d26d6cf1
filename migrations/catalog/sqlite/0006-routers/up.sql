-- The live routers. until_ms is judged by this machine's clock.
CREATE TABLE IF NOT EXISTS routers (
    router TEXT NOT NULL,
    address TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (router)
) STRICT
