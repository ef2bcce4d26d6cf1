-- The move that has to do with the slot; 0: none.
ALTER TABLE slots ADD COLUMN move_id INTEGER NOT NULL DEFAULT 0
