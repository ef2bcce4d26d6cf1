-- A node's account anew. KEYS: mark. ARGV: round, life in ms.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'round', ARGV[1], 'calls', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
