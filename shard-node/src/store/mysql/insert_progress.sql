INSERT INTO imports (
    move_id, attempt, step, entity, continuation, copied_rows, copied_bytes, slot
) VALUES [[(?, ?, ?, ?, ?, ?, ?, ?)]]
