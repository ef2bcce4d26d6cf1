SELECT user, session, device, generation, nonce, previous_nonce, created_at_ms, used_at_ms
FROM sessions
WHERE user = ?
ORDER BY session
