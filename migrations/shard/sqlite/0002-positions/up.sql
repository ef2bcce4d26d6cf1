-- How far each lane's journal went out. Apart from lanes, whose rows only change hands.
CREATE TABLE IF NOT EXISTS positions (
    lane INTEGER NOT NULL,
    relayed INTEGER NOT NULL,
    covered INTEGER NOT NULL,
    PRIMARY KEY (lane)
) STRICT
