-- Writes or prolongs one seat of a user. KEYS: user. ARGV: seat, life in ms, most seats of a user.
-- A user's value is a text of `node boot connection until_ms;` for each seat, the newest last.
-- Answers 1 if the seat was there, else 0. Seats whose time is over go.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local seats, was_there = {}, 0
for seat, till in string.gmatch(redis.call('GET', KEYS[1]) or '', '([^;]+) (%d+);') do
    if now < tonumber(till) then
        if seat == ARGV[1] then
            was_there = 1
        else
            seats[#seats + 1] = seat .. ' ' .. till .. ';'
        end
    end
end
while tonumber(ARGV[3]) <= #seats do
    table.remove(seats, 1)
end
seats[#seats + 1] = ARGV[1] .. ' ' .. string.format('%d', now + ARGV[2]) .. ';'
redis.call('SET', KEYS[1], table.concat(seats), 'PX', ARGV[2])
return was_there
