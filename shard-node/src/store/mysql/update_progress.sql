INSERT INTO imports (
    move_id, attempt, step, entity, continuation, copied_rows, copied_bytes, slot
) VALUES [[(?, ?, ?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    move_id = VALUES(move_id),
    attempt = VALUES(attempt),
    step = VALUES(step),
    entity = VALUES(entity),
    continuation = VALUES(continuation),
    copied_rows = VALUES(copied_rows),
    copied_bytes = VALUES(copied_bytes)
