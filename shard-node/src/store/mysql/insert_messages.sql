INSERT INTO messages (
    chat, seq, ver, changed_ver, sender, sender_name, client_msg_id, body_hash, text, reply_to,
    sent_at_ms, edited_at_ms, deleted
) VALUES [[(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]
