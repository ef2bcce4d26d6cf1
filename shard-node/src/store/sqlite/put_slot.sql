INSERT OR REPLACE INTO slots (slot, state, epoch, move_id, attempt, leader_term)
VALUES (?, ?, ?, ?, ?, ?)
