DELETE FROM journal WHERE lane = ? AND position <= ? ORDER BY position LIMIT 1000
