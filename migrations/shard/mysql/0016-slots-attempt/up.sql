-- Which try of that move.
ALTER TABLE slots ADD COLUMN attempt INT UNSIGNED NOT NULL DEFAULT 0
