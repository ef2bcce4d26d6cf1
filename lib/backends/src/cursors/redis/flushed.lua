-- The shard has this seq. KEYS: user, dirty. ARGV: chat, user, seq.
-- The mark goes if the cursor is not beyond it, or was lost; else it counts as dirty from now on.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or #held < #ARGV[3] or (#held == #ARGV[3] and held <= ARGV[3]) then
    redis.call('ZREM', KEYS[2], ARGV[1] .. ':' .. ARGV[2])
else
    local clock = redis.call('TIME')
    local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    redis.call('ZADD', KEYS[2], 'XX', now, ARGV[1] .. ':' .. ARGV[2])
end
return 0
