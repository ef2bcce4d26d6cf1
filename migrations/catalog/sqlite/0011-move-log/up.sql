-- Every step of every move, written with the step. term is the coordinator's; 0 for an operator's wish.
CREATE TABLE IF NOT EXISTS move_log (
    move INTEGER NOT NULL,
    n INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    from_phase INTEGER,
    to_phase INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    term INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (move, n)
) STRICT
