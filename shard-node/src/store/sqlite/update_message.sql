UPDATE messages
SET changed_ver = ?3, sender_name = ?4, text = ?5, reply_to = ?6, edited_at_ms = ?7, deleted = ?8
WHERE chat = ?1 AND seq = ?2
