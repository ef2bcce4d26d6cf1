SELECT (SELECT nonce FROM journal WHERE lane = ? AND position = ?)
