-- Counts one call of a node. KEYS: mark. ARGV: round, life in ms.
-- Answers how many were counted in this round, this one included; 0 if the round is not known here.
if redis.call('HGET', KEYS[1], 'round') ~= ARGV[1] then
    return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'calls', 1)
