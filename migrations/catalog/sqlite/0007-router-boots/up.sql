-- Which run of its process has a router's id: a second process with the same id is told.
CREATE TABLE IF NOT EXISTS router_boots (
    router TEXT NOT NULL,
    boot INTEGER NOT NULL,
    PRIMARY KEY (router)
) STRICT
