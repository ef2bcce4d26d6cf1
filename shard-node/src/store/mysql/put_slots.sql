INSERT INTO slots (slot, state, epoch, move_id, attempt, leader_term) VALUES [[(?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    state = VALUES(state),
    epoch = VALUES(epoch),
    move_id = VALUES(move_id),
    attempt = VALUES(attempt),
    leader_term = VALUES(leader_term)
