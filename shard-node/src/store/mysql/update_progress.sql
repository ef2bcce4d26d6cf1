UPDATE imports
SET move_id = ?, attempt = ?, step = ?, entity = ?, continuation = ?, copied_rows = ?, copied_bytes = ?
WHERE slot = ?
