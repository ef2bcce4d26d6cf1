INSERT OR REPLACE INTO sessions (
    user, session, device, generation, nonce, previous_nonce, created_at_ms, used_at_ms
) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
