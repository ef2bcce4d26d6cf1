-- Which try of that move.
ALTER TABLE slots ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0
