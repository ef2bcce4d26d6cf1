INSERT OR REPLACE INTO imports (
    slot, move_id, attempt, step, entity, continuation, copied_rows, copied_bytes
) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
