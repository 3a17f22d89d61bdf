"""What Redis does for the workers of all machines: one script that carries out a list of wishes at
one moment of Redis's own clock, by the same rules as `tables`.

Keys (all begin with the prefix, whose braces keep them on one node of a cluster):

    workers              sorted set: worker -> until when it is known to live
    worker:ID            hash: number -> what was taken under it and is not settled yet
    slots:NAME           hash: worker -> how many it has
    window:SECONDS:NAME  hash: bucket -> amount, `t` the total of all, `o` the oldest bucket that counts
    purse:NAME           total
    board, ends          hash: name -> notice; sorted set: name -> its end
    generation           of the board
    had:NAME             end of a claim, and who has it
    clock                hash: `ahead`, by how much the state's time is ahead of Redis's, and the `latest`

What a worker took is written down under a number of the worker's own. So a wish that is sent again,
because its answer was lost, is carried out once, and one whose fate is unknown can be undone.
Each key is forgotten by itself when it is not used for long, but for purses that are to stay.
"""

from math import gcd

from gateway.state.claims import BUCKETS, SECOND
from gateway.state.redis_notices import NOTICES

_PARTS = gcd(BUCKETS, SECOND)

# Numbers in Lua are doubles: what is below must stay under 2**53, and be written out in full.
SCRIPT = (
    f"""
local BUCKETS, TIMES, PARTS, SECOND = {BUCKETS}, {BUCKETS // _PARTS}, {SECOND // _PARTS}, {SECOND}
local DAY, LONG = 86400000, 40 * 86400000
"""
    + r"""
local base, worker, alive = string.sub(KEYS[1], 1, -8), ARGV[1], tonumber(ARGV[2])
local now = tonumber(ARGV[3])
local call = redis.call
if not now then
    local time = call('TIME')
    now = time[1] * 1000000 + time[2]
end

local function int(number) return string.format('%.0f', number) end

-- The state's time does not go back. When Redis's does, it goes on from where it was: else what was
-- counted, claimed and posted, and dead workers, would stay until the clock is as late again.
local clock = call('HMGET', base .. 'clock', 'ahead', 'latest')
local ahead, latest = tonumber(clock[1] or 0), tonumber(clock[2] or 0)
ahead = math.max(ahead, latest - now)
now = now + ahead
if now >= latest + SECOND or ahead ~= tonumber(clock[1] or 0) then
    call('HSET', base .. 'clock', 'ahead', int(ahead), 'latest', int(now))
    call('PEXPIRE', base .. 'clock', LONG)
end

-- life

local living  -- worker -> true, read when first needed

local function each_slot(who, work)
    for _, record in ipairs(call('HVALS', base .. 'worker:' .. who)) do
        for _, taken in ipairs(cjson.decode(record)) do
            if taken[1] == 'slots' then work(base .. 'slots:' .. taken[2]) end
        end
    end
end

local function live()
    local own = base .. 'worker:' .. worker
    if not call('ZSCORE', KEYS[1], worker) then  -- new, or given up by the others: what it still has counts again
        each_slot(worker, function(key) call('HINCRBY', key, worker, 1) end)
    end
    call('ZADD', KEYS[1], int(now + alive), worker)
    for _, dead in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now))) do
        each_slot(dead, function(key) call('HDEL', key, dead) end)
        call('ZREM', KEYS[1], dead)
    end
    call('PEXPIRE', KEYS[1], DAY)
    call('PEXPIRE', own, DAY)
    living = nil
end

local function lives(name)
    if not living then
        living = {}
        for _, one in ipairs(call('ZRANGEBYSCORE', KEYS[1], '(' .. int(now), '+inf')) do living[one] = true end
    end
    return living[name]
end

-- windows; a claim is {kind, name, most, amount, observe, seconds}

local function bucket_at(seconds)
    local parts = seconds * PARTS
    return (now * TIMES - math.fmod(now * TIMES, parts)) / parts
end

local function frees_at(bucket, seconds) return math.ceil((bucket + BUCKETS + 1) * seconds * PARTS / TIMES) end

local function window_key(claim) return base .. 'window:' .. int(claim[6]) .. ':' .. claim[2] end

local function amounts(key, first, last)
    local buckets = {}
    for bucket = first, last do buckets[#buckets + 1] = int(bucket) end
    return call('HMGET', key, unpack(buckets)), buckets
end

local function swept(claim)  -- returns what is used, and since which bucket
    local key, first = window_key(claim), bucket_at(claim[6]) - BUCKETS
    local row = call('HMGET', key, 't', 'o')
    local total, oldest = tonumber(row[1] or 0), tonumber(row[2] or first)
    if oldest >= first then return total, oldest end
    if first - oldest > BUCKETS then
        call('DEL', key)
        return 0, first
    end
    local gone, buckets = amounts(key, oldest, first - 1)
    for _, amount in ipairs(gone) do total = total - (tonumber(amount or 0)) end
    call('HDEL', key, unpack(buckets))
    call('HSET', key, 't', int(total), 'o', int(first))
    return total, first
end

local function count(claim, bucket, amount, total, oldest)  -- the latter two as swept says
    local key = window_key(claim)
    local now_in_it = call('HINCRBY', key, int(bucket), int(amount))
    call('HSET', key, 't', int(total + amount), 'o', int(oldest))
    if now_in_it == amount then call('PEXPIRE', key, int(2000 * claim[6])) end  -- a new bucket
end

local function free_at(claim, short)  -- when so much less counts; no short: when nothing does
    local key, newest = window_key(claim), bucket_at(claim[6])
    if not short then
        for last = newest, newest - BUCKETS, -40 do
            local found, buckets = amounts(key, last - 39, last)
            for place = #buckets, 1, -1 do
                if tonumber(found[place] or 0) > 0 then return frees_at(tonumber(buckets[place]), claim[6]) end
            end
        end
        return frees_at(newest, claim[6])
    end
    for first = newest - BUCKETS, newest, 40 do
        local found, buckets = amounts(key, first, first + 39)
        for place, amount in ipairs(found) do
            short = short - (tonumber(amount or 0))
            if short <= 0 then return frees_at(tonumber(buckets[place]), claim[6]) end
        end
    end
    return frees_at(newest, claim[6])
end

-- all kinds of claims

local function spend(name, amount, seconds)
    local key = base .. 'purse:' .. name
    if call('INCRBY', key, int(amount)) < 0 then call('SET', key, '0') end  -- it was forgotten meanwhile
    if seconds > 0 then call('PEXPIRE', key, int(seconds * 1000)) else call('PERSIST', key) end
end

local function used_of(claim)
    if claim[1] == 'window' then return swept(claim) end
    if claim[1] == 'purse' then return tonumber(call('GET', base .. 'purse:' .. claim[2]) or 0) end
    local all, used = call('HGETALL', base .. 'slots:' .. claim[2]), 0
    for place = 1, #all, 2 do
        if lives(all[place]) then used = used + tonumber(all[place + 1]) end
    end
    return used
end

local function lacking(claim, used)
    if not claim[3] then return 0 end
    return math.max(used + math.max(claim[4], 1) - claim[3], 0)
end

local function retry_at(claim, short)  -- 0: never, or not known
    if claim[1] ~= 'window' or claim[4] > claim[3] or claim[3] == 0 then return 0 end
    return free_at(claim, short)
end

local function frees(claim, used, short)  -- before the claim itself is counted
    if claim[1] ~= 'window' or used == 0 then return 0 end
    if short > 0 and math.max(claim[4], 1) <= claim[3] then return free_at(claim, short) end
    return free_at(claim)
end

local kept = false

local function keep()  -- the list of what this worker took
    local own = base .. 'worker:' .. worker
    if not kept and call('PTTL', own) < DAY / 2 then call('PEXPIRE', own, DAY) end
    kept = true
end

local wishes = {}

function wishes.take(id, claims)  -- {0, now, (used, frees, over) for each}, or {place, now, used, retry}
    local own, id = base .. 'worker:' .. worker, int(id)
    local reply, record, totals = {0, now}, {}, {}
    for place, claim in ipairs(claims) do
        local kind, name, _, amount, observed, seconds = unpack(claim)
        if kind == 'slots' and not lives(worker) then live() end
        local used, oldest = used_of(claim)
        local short = lacking(claim, used)
        if short > 0 and not observed then return {place, now, used, retry_at(claim, short)} end
        local mark, moment = kind == 'window' and bucket_at(seconds) or 0
        if mark > 0 and amount > 0 and short == 0 then moment = frees_at(mark, seconds)
        else moment = frees(claim, used, short) end
        record[place], totals[place] = {kind, name, mark, amount, seconds}, {used, oldest}
        for _, value in ipairs({used + amount, moment, short > 0 and 1 or 0}) do reply[#reply + 1] = value end
    end
    if call('HSETNX', own, id, cjson.encode(record)) == 0 then  -- undone before it came
        call('HDEL', own, id)
        return {-1, now}
    end
    keep()
    for place, claim in ipairs(claims) do
        local key = base .. 'slots:' .. claim[2]
        if claim[1] == 'window' then count(claim, record[place][3], claim[4], unpack(totals[place]))
        elseif claim[1] == 'purse' then spend(claim[2], claim[4], claim[6])
        else
            call('HINCRBY', key, worker, 1)
            call('PEXPIRE', key, DAY)
        end
    end
    return reply
end

function wishes.settle(id, amounts)  -- what each came to by name, or nothing if it was not said
    local own, id = base .. 'worker:' .. worker, int(id)
    local record = call('HGET', own, id)
    if not record then return 0 end
    call('HDEL', own, id)
    for _, taken in ipairs(cjson.decode(record)) do
        local kind, name, mark, amount, seconds = unpack(taken)
        local change = (amounts[name] or amount) - amount
        if kind == 'slots' then
            local key = base .. 'slots:' .. name
            if call('HINCRBY', key, worker, -1) <= 0 then call('HDEL', key, worker) end
        elseif change ~= 0 and kind == 'purse' then spend(name, change, seconds)
        elseif change ~= 0 and mark >= bucket_at(seconds) - BUCKETS then
            local claim = {kind, name, false, 0, false, seconds}
            count(claim, mark, change, swept(claim))
        end
    end
    return 1
end

function wishes.undo(id, amounts)  -- a take that may or may not have come, or is still to come
    local own = base .. 'worker:' .. worker
    if wishes.settle(id, amounts) == 0 then
        call('HSET', own, int(id), '[]')
        keep()
    end
    return 1
end

function wishes.levels(claims)  -- {now, (used, frees) for each}
    local reply = {now}
    for _, claim in ipairs(claims) do
        local used = used_of(claim)
        reply[#reply + 1] = used
        reply[#reply + 1] = frees(claim, used, lacking(claim, used))
    end
    return reply
end

function wishes.spend(name, amount, seconds)
    call('DEL', base .. 'purse:' .. name)
    spend(name, amount, seconds)
    return 1
end

"""
    + NOTICES
    + r"""
function wishes.live(away)  -- for so long Redis could not be reached: by the others neither, so their terms begin anew
    local others = away > 0 and call('ZRANGEBYSCORE', KEYS[1], '(' .. int(now - away), int(now)) or {}
    for _, other in ipairs(others) do call('ZADD', KEYS[1], int(now + alive), other) end
    live()
    return 1
end

function wishes.leave()
    each_slot(worker, function(key) call('HDEL', key, worker) end)
    call('DEL', base .. 'worker:' .. worker)
    call('ZREM', KEYS[1], worker)
    return 1
end

local replies = {}
for place, wish in ipairs(cjson.decode(ARGV[4])) do replies[place] = wishes[wish[1]](unpack(wish, 2)) end
return replies
"""
)
