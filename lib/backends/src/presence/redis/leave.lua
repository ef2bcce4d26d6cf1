-- Takes one seat of a user away. KEYS: user. ARGV: seat.
local seats = {}
for seat, till in string.gmatch(redis.call('GET', KEYS[1]) or '', '([^;]+) (%d+);') do
    if seat ~= ARGV[1] then
        seats[#seats + 1] = seat .. ' ' .. till .. ';'
    end
end
if #seats == 0 then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], table.concat(seats), 'KEEPTTL')
end
return 0
