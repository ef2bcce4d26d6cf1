-- Which writer may commit. Data transactions lock their lane's row in share mode and never write it.
CREATE TABLE IF NOT EXISTS lanes (
    lane INTEGER NOT NULL,
    term INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    PRIMARY KEY (lane)
) STRICT
