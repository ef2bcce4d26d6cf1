[[(
    SELECT slot, move_id, attempt, step, entity, continuation, copied_rows, copied_bytes
    FROM imports
    WHERE slot = ?
    FOR UPDATE
)| UNION ALL ]]
