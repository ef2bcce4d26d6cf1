INSERT INTO sessions (
    user, session, device, generation, nonce, previous_nonce, created_at_ms, used_at_ms
) VALUES [[(?, ?, ?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    device = VALUES(device),
    generation = VALUES(generation),
    nonce = VALUES(nonce),
    previous_nonce = VALUES(previous_nonce),
    created_at_ms = VALUES(created_at_ms),
    used_at_ms = VALUES(used_at_ms)
