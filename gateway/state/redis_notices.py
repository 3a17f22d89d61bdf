"""The part of Redis's script (see redis_script) that keeps the board of notices, and who has a name for a while."""

NOTICES = r"""
-- notices

function wishes.post(name, text, micros)
    local board, ends = base .. 'board', base .. 'ends'
    for _, over in ipairs(call('ZRANGEBYSCORE', ends, '-inf', int(now))) do
        call('HDEL', board, over)
        call('ZREM', ends, over)
    end
    if text == '' then
        call('HDEL', board, name)
        call('ZREM', ends, name)
    else
        call('HSET', board, name, text)
        call('ZADD', ends, int(now + micros), name)
    end
    local longest = math.max(LONG, micros / 1000, call('PTTL', board))
    for _, key in ipairs({board, ends}) do call('PEXPIRE', key, int(longest)) end
    local generation = math.max(tonumber(call('GET', base .. 'generation') or 0) + 1, now)
    call('SET', base .. 'generation', int(generation), 'PX', int(longest))
    return 1
end

function wishes.posted(since)  -- 0, or {generation, name, text, ...}
    local generation = tonumber(call('GET', base .. 'generation') or 0)
    if generation == since then return 0 end
    local reply = {generation}
    for _, name in ipairs(call('ZRANGEBYSCORE', base .. 'ends', '(' .. int(now), '+inf')) do
        local text = call('HGET', base .. 'board', name)
        if text then
            reply[#reply + 1] = name
            reply[#reply + 1] = text
        end
    end
    return reply
end

function wishes.claim(id, name, micros)
    local key, asker = base .. 'had:' .. name, worker .. '/' .. int(id)
    local ends, who = string.match(call('GET', key) or '0 ', '^(%d+) (.*)$')
    if tonumber(ends) > now then return who == asker and 1 or 0 end
    call('SET', key, int(now + micros) .. ' ' .. asker, 'PX', int(math.max(micros / 1000, 1)))
    return 1
end
"""
