UPDATE messages
SET changed_ver = ?, sender_name = ?, text = ?, reply_to = ?, edited_at_ms = ?, deleted = ?
WHERE chat = ? AND seq = ?
