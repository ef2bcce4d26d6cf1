-- The slots of each move, and the epoch its source had them at when it was made. Each attempt takes one more.
CREATE TABLE IF NOT EXISTS move_slots (
    move INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (move, slot)
) STRICT
