-- Raises one cursor. KEYS: user, dirty. ARGV: chat, user, seq, life in ms. Answers the seq now held.
-- A seq is compared as text: it may be larger than Lua's numbers are exact.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and (#ARGV[3] < #held or (#ARGV[3] == #held and ARGV[3] <= held)) then
    return held
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- Since when it is dirty: an older mark stays.
redis.call('ZADD', KEYS[2], 'NX', now, ARGV[1] .. ':' .. ARGV[2])
return ARGV[3]
