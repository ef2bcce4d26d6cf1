INSERT INTO journal (lane, position, nonce, entries) VALUES (?, ?, ?, ?)
