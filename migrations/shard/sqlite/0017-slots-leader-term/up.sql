-- The highest term of a coordinator that changed the row.
ALTER TABLE slots ADD COLUMN leader_term INTEGER NOT NULL DEFAULT 0
