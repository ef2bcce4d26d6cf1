-- How many transactions of each lane changed slots or brought rows in: they have no place in the journal.
CREATE TABLE IF NOT EXISTS tallies (
    lane INTEGER NOT NULL,
    tally INTEGER NOT NULL,
    PRIMARY KEY (lane)
) STRICT
