-- The highest term of a coordinator that changed the row.
ALTER TABLE slots ADD COLUMN leader_term BIGINT UNSIGNED NOT NULL DEFAULT 0
