-- The move that has to do with the slot; 0: none.
ALTER TABLE slots ADD COLUMN move_id BIGINT UNSIGNED NOT NULL DEFAULT 0
