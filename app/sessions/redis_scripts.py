"""What Redis does for a session in one step, as scripts: all of each happens, or none of it.

Under the prefix (the first key of each script):

| key | what |
| --- | --- |
| `session:ID` | a hash of a session's fields; Redis ends it a little after the session's end |
| `ends` | ids of sessions by an end that they have at least |
| `sizes` | by id: bytes, the answers that hold the session's content, tenant |
| `used` | sessions and bytes, of all and of each tenant |
| `list:TENANT` | ids of a tenant's sessions by creation |
| `answer:HASH`, `answers:TENANT` | the answer to a keyed call; those of a tenant by creation |
| `claim:NAME` | who holds a name, until its lease ends |
| `epoch` | a random name of all that is here |

Scripts that add are refused as a whole where memory is full; those that use or delete may go on.
"""

from __future__ import annotations

_FORGET = """
local function less(field, n)
  local left = redis.call('HINCRBY', P .. 'used', field, -n)
  if left <= 0 then redis.call('HDEL', P .. 'used', field) end
end
local function forget(id)
  redis.call('DEL', P .. 'session:' .. id)
  redis.call('ZREM', P .. 'ends', id)
  local size = redis.call('HGET', P .. 'sizes', id)
  if not size then return false end
  local bytes, answers, tenant = string.match(size, '^(%d+) (%S*) (.*)$')
  for hash in string.gmatch(answers, '[^,]+') do
    redis.call('HDEL', P .. 'answer:' .. hash, 'content')
  end
  redis.call('HDEL', P .. 'sizes', id)
  redis.call('ZREM', P .. 'list:' .. tenant, id)
  less('sessions', 1)
  less('bytes', bytes)
  less('sessions:' .. tenant, 1)
  less('bytes:' .. tenant, bytes)
  return true
end
"""

_HEAD, _HEAD_WHEN_FULL = "#!lua\n", "#!lua flags=allow-oom\n"
_P = "local P = KEYS[1]\n"

WRITE = (
    _HEAD
    + _P
    + """
local id, tenant, write, version, created_at, expires_at, ttl, ends_at, now, bytes, facts, weights,
  has_support, support, max_bytes, max_sessions, max_tenant_bytes, hash, digest, status, content,
  answered_at, answer_ms, max_answers, answer_key, spare = unpack(ARGV)
local session = P .. 'session:' .. id
local epoch = redis.call('GET', P .. 'epoch') or ''
local old = redis.call('HMGET', session, 'version', 'write', 'bytes', 'expires_at')
if old[2] == write then return {'written', epoch} end
if tonumber(version) == 1 then
  if old[1] then return {'changed', epoch} end
elseif not old[1] or tonumber(old[1]) ~= tonumber(version) - 1 then
  return {'changed', epoch}
end
if hash ~= '' and redis.call('EXISTS', P .. 'answer:' .. hash) == 1 then
  return {'answered', epoch}
end
local more = old[1] and 0 or 1
local growth = tonumber(bytes) - tonumber(old[3] or '0')
local function used(field) return tonumber(redis.call('HGET', P .. 'used', field) or '0') end
if more > 0 and max_sessions ~= '' and used('sessions:' .. tenant) >= tonumber(max_sessions) then
  return {'tenant sessions', epoch}
end
if growth > 0 then
  if max_tenant_bytes ~= '' and used('bytes:' .. tenant) + growth > tonumber(max_tenant_bytes) then
    return {'tenant bytes', epoch}
  end
  if used('bytes') + growth > tonumber(max_bytes) then
    return {'full', epoch, tostring(used('sessions')), tostring(used('bytes'))}
  end
end
if old[4] and tonumber(old[4]) > tonumber(expires_at) then expires_at = old[4] end
redis.call('HSET', session, 'tenant', tenant, 'write', write, 'version', version,
  'created_at', created_at, 'expires_at', expires_at, 'ttl_seconds', ttl, 'ends_at', ends_at,
  'bytes', bytes, 'facts', facts, 'weights', weights)
if has_support == '1' then redis.call('HSET', session, 'support', support)
else redis.call('HDEL', session, 'support') end
redis.call('PEXPIRE', session, math.ceil(1000 * (expires_at - now + spare)))
redis.call('ZADD', P .. 'ends', expires_at, id)
redis.call('ZADD', P .. 'list:' .. tenant, created_at, id)
redis.call('HINCRBY', P .. 'used', 'sessions', more)
redis.call('HINCRBY', P .. 'used', 'sessions:' .. tenant, more)
redis.call('HINCRBY', P .. 'used', 'bytes', growth)
redis.call('HINCRBY', P .. 'used', 'bytes:' .. tenant, growth)
local answers = ''
local size = redis.call('HGET', P .. 'sizes', id)
if size then answers = string.match(size, '^%d+ (%S*) ') end
if hash ~= '' then
  answers = answers == '' and hash or answers .. ',' .. hash
  local answer, of_tenant = P .. 'answer:' .. hash, P .. 'answers:' .. answer_key
  redis.call('HSET', answer, 'digest', digest, 'session', id, 'status', status,
    'content', content, 'created_at', answered_at)
  redis.call('PEXPIRE', answer, answer_ms)
  redis.call('ZADD', of_tenant, answered_at, hash)
  redis.call('PEXPIRE', of_tenant, answer_ms)
  redis.call('ZREMRANGEBYSCORE', of_tenant, '-inf', '(' .. (answered_at - answer_ms / 1000))
  local over = redis.call('ZCARD', of_tenant) - tonumber(max_answers)
  if over > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', of_tenant, 0, over - 1)) do
      redis.call('DEL', P .. 'answer:' .. oldest)
      redis.call('ZREM', of_tenant, oldest)
    end
  end
end
redis.call('HSET', P .. 'sizes', id, bytes .. ' ' .. answers .. ' ' .. tenant)
return {'written', epoch}
"""
)

LOOK = (
    _HEAD_WHEN_FULL
    + _P
    + """
local id, tenant, known, now, use, spare = unpack(ARGV)
local session = P .. 'session:' .. id
local epoch = redis.call('GET', P .. 'epoch') or ''
local s = redis.call('HMGET', session, 'tenant', 'version', 'expires_at', 'ttl_seconds', 'ends_at')
if s[1] ~= tenant or tonumber(s[3]) <= tonumber(now) then return {epoch} end
local expires_at = s[3]
if use == '1' then
  local used = math.min(now + s[4], tonumber(s[5]))
  if used > tonumber(expires_at) then
    expires_at = string.format('%.17g', used)
    redis.call('HSET', session, 'expires_at', expires_at)
    redis.call('PEXPIRE', session, math.ceil(1000 * (used - now + spare)))
  end
end
if s[2] == known then return {epoch, s[2], expires_at} end
local rest = redis.call('HMGET', session, 'created_at', 'facts', 'weights')
return {epoch, s[2], expires_at, s[4], s[5], rest[1], rest[2], rest[3]}
"""
)

DELETE = _HEAD_WHEN_FULL + _P + _FORGET + "return forget(ARGV[1]) and 1 or 0\n"

DELETE_ENDED = (
    _HEAD_WHEN_FULL
    + _P
    + _FORGET
    + """
local now, most = unpack(ARGV)
local ids = redis.call('ZRANGEBYSCORE', P .. 'ends', '-inf', now, 'LIMIT', 0, most)
local ended = {}
for _, id in ipairs(ids) do
  local expires_at = redis.call('HGET', P .. 'session:' .. id, 'expires_at')
  if expires_at and tonumber(expires_at) > tonumber(now) then
    redis.call('ZADD', P .. 'ends', expires_at, id)
  else
    forget(id)
    ended[#ended + 1] = id
  end
end
return {#ids, ended}
"""
)

PAGE = (
    "#!lua flags=no-writes\n"
    + _P
    + """
local tenant, now, limit, below, id_below = unpack(ARGV)
local found, skipped = {}, 0
while #found < tonumber(limit) do
  local ids = redis.call('ZREVRANGEBYSCORE', P .. 'list:' .. tenant, below, '-inf', 'WITHSCORES',
    'LIMIT', skipped, 100)
  for place = 1, #ids, 2 do
    local id = ids[place]
    local before = below == '+inf' or tonumber(ids[place + 1]) < tonumber(below) or id < id_below
    if before and #found < tonumber(limit) then
      local s = redis.call('HMGET', P .. 'session:' .. id, 'version', 'created_at', 'expires_at',
        'ttl_seconds', 'ends_at', 'facts')
      if s[1] and tonumber(s[3]) > tonumber(now) then
        table.insert(s, 1, id)
        found[#found + 1] = s
      end
    end
  end
  if #ids < 200 then break end
  skipped = skipped + 100
end
return found
"""
)

CLAIM = (
    _HEAD
    + _P
    + """
local claim, token, ms = P .. 'claim:' .. ARGV[1], ARGV[2], ARGV[3]
local held = redis.call('GET', claim)
if held and held ~= token then return held end
redis.call('SET', claim, token, 'PX', ms)
return false
"""
)

RENEW = (
    _HEAD_WHEN_FULL
    + _P
    + """
local claim, token, ms = P .. 'claim:' .. ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', claim) ~= token then return 0 end
return redis.call('PEXPIRE', claim, ms)
"""
)

RELEASE = (
    _HEAD_WHEN_FULL
    + _P
    + """
local claim = P .. 'claim:' .. ARGV[1]
if redis.call('GET', claim) == ARGV[2] then redis.call('DEL', claim) end
return 1
"""
)
