"""What Redis does in one step, as scripts; each knows its keys, all of one slot.

Stamps are compared byte by byte: Lua's own comparison of texts follows the locale of the server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import hiredis

from featurestore.online.base import STAMP_SIZE
from featurestore.online.redis.connection import Argument, Reply, pack
from featurestore.online.redis.servers import Command, Servers

FREE = b"-" * 16  # in place of a publisher's token

BUSY = b"BUSY"  # somebody publishes; try again
MOVED = b"MOVED"  # the namespace has another generation, or none; look again
UNSETTLED = b"UNSETTLED"  # a published overlay has to be merged first
LOST = b"LOST"  # what was published is not there
FENCED = b"FENCED"  # somebody else took over


@dataclass(frozen=True, slots=True)
class Script:
    """A script and its digest."""

    text: bytes
    digest: str

    @staticmethod
    def of(flags: str, *parts: str) -> Script:
        """The script made of parts, with the flags that tell Redis when it may run."""
        text = "\n".join((f"#!lua flags={flags}" if flags else "#!lua", *parts)).encode()
        return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Call:
    """A script to run on the keys of a slot."""

    slot: int
    script: Script
    keys: Sequence[bytes]
    arguments: Sequence[Argument]

    def command(self, *, whole: bool = False) -> Command:
        """The command that names the script by its digest, or brings its `whole` text."""
        name, script = ("EVAL", self.script.text) if whole else ("EVALSHA", self.script.digest)
        return self.slot, pack(name, script, len(self.keys), *self.keys, *self.arguments)


def run(servers: Servers, calls: Sequence[Call]) -> list[Reply]:
    """The reply to each call; a script that a server does not know yet is brought to it."""
    replies = servers.exchange([call.command() for call in calls])
    unknown = [i for i, reply in enumerate(replies) if _is_unknown(reply)]
    if unknown:
        answers = servers.exchange([calls[i].command(whole=True) for i in unknown])
        for i, answer in zip(unknown, answers, strict=True):
            replies[i] = answer
    return replies


def _is_unknown(reply: Reply) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT")


_NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local function number(n) return string.format('%016.0f', n) end
local free = string.rep('-', 16)
local function lock_of(name)
  local raw = redis.call('HGET', KEYS[2], name)
  if not raw then return 0, free, 0 end
  return tonumber(raw:sub(1, 16)), raw:sub(17, 32), tonumber(raw:sub(33, 48))
end
local function set_lock(name, epoch, token, till)
  redis.call('HSET', KEYS[2], name, number(epoch) .. token .. number(till))
end
"""

_COMPARE = f"""
local byte = string.byte
local function is_older(offered, stored)
  for i = 1, {STAMP_SIZE} do
    local a, b = byte(offered, i), byte(stored, i)
    if a ~= b then return a < b end
  end
  return false
end
"""

# KEYS: catalog, publishing. ARGV: namespace, token, lease.
# -> how long the present publisher's lease lasts, or [epoch of this publish, entry].
ACQUIRE = Script.of(
    "allow-oom",
    _NOW,
    """
local last, token, till = lock_of(ARGV[1])
if token ~= free and token ~= ARGV[2] and till > now then return till - now end
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry then last = math.max(last, tonumber(entry:sub(17, 32))) end
local epoch = math.max(last + 1, now)
set_lock(ARGV[1], epoch, ARGV[2], now + tonumber(ARGV[3]))
return {number(epoch), entry}
""",
)

# KEYS: catalog, publishing. ARGV: namespace, token, lease (0 to release it). -> 1 while the token holds it.
RENEW = Script.of(
    "allow-oom",
    _NOW,
    """
local epoch, token = lock_of(ARGV[1])
if token ~= ARGV[2] then return 0 end
local lease = tonumber(ARGV[3])
set_lock(ARGV[1], epoch, lease > 0 and token or free, now + lease)
return 1
""",
)

# KEYS: catalog, publishing, generations. ARGV: namespace, token, entry (empty to drop the namespace).
# Publishes the entry, and releases the lease. -> 1, or FENCED.
SWITCH = Script.of(
    "allow-oom",
    _NOW,
    """
local epoch, token = lock_of(ARGV[1])
if token ~= ARGV[2] then return 'FENCED' end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
  return 1
end
if redis.call('HEXISTS', KEYS[3], ARGV[3]:sub(1, 16)) == 0 then return 'FENCED' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
set_lock(ARGV[1], epoch, free, 0)
return 1
""",
)

# KEYS: catalog, publishing, generations. ARGV: namespace, or empty for all.
# -> the records of the generations that no namespace has and nobody is making: number, buckets, token, namespace.
ORPHANS = Script.of(
    "no-writes,allow-oom",
    _NOW,
    """
local found = {}
local all = redis.call('HGETALL', KEYS[3])
for i = 1, #all, 2 do
  local name = all[i + 1]:sub(22)
  local entry = redis.call('HGET', KEYS[1], name)
  local _, token, till = lock_of(name)
  local is_live = entry and entry:sub(1, 16) == all[i]
  local is_made = token == all[i + 1]:sub(6, 21) and till > now
  if not is_live and not is_made and (ARGV[1] == '' or ARGV[1] == name) then
    found[#found + 1] = all[i] .. all[i + 1]
  end
end
return found
""",
)

# KEYS: catalog, publishing, bucket. ARGV: namespace, generation, compare, m to set the metadata, metadata, then field
# and record in turns. Publishes the items of a namespace with one bucket at once.
# -> [1, written, skipped, deleted] or [why not, how long to wait]
WRITE = Script.of(
    "",
    _NOW,
    _COMPARE,
    """
local last, token, till = lock_of(ARGV[1])
if token ~= free then
  if till > now then return {'BUSY', till - now} end
  set_lock(ARGV[1], last, free, 0)
end
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry or entry:sub(1, 16) ~= ARGV[2] then return {'MOVED'} end
local bucket, epoch = KEYS[3], entry:sub(17, 32)
local head = redis.call('HGET', bucket, 'h')
if head and head:sub(33, 48) == epoch then return {'UNSETTLED'} end
if not head or (head:sub(1, 16) ~= epoch and head:sub(17, 32) ~= epoch) then return {'LOST'} end
local written, skipped, deleted = 0, 0, 0
for i = 6, #ARGV, 2 do
  local field, record = ARGV[i], ARGV[i + 1]
  if record == '' then
    deleted = deleted + redis.call('HDEL', bucket, field)
  else
    local stored = ARGV[3] == '1' and redis.call('HGET', bucket, field)
    if stored and is_older(record, stored) then
      skipped = skipped + 1
    else
      redis.call('HSET', bucket, field, record)
      written = written + 1
    end
  end
end
local next = number(math.max(tonumber(epoch) + 1, last + 1, now))
local tail = ARGV[4] == 'm' and 'm' .. ARGV[5] or entry:sub(38)
redis.call('HSET', bucket, 'h', next .. free .. free)
redis.call('HSET', KEYS[1], ARGV[1], entry:sub(1, 16) .. next .. entry:sub(33, 37) .. tail)
return {1, written, skipped, deleted}
""",
)

# KEYS: bucket, overlay. ARGV: epoch in force, epoch to publish, compare, 1 to end, fields added before, then field and
# record in turns. Collects in the overlay what the publish changes; at its end the head says so.
# -> [1, written, skipped, deleted, fields added] or [why not]
STAGE = Script.of(
    "",
    _COMPARE,
    """
local none = string.rep('-', 16)
local bucket, overlay, epoch, next = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local head = redis.call('HGET', bucket, 'h')
if not head then return {'LOST'} end
local first, second, over = head:sub(1, 16), head:sub(17, 32), head:sub(33, 48)
local owner = redis.call('HGET', overlay, 'h') or none
for _, other in ipairs({first, second, over, owner}) do
  if other ~= none and tonumber(other) > tonumber(next) then return {'FENCED'} end
end
if over == epoch then return {'UNSETTLED'} end
if first ~= epoch and second ~= epoch then return {'LOST'} end
if owner ~= next then
  redis.call('UNLINK', overlay)
  if #ARGV > 5 then redis.call('HSET', overlay, 'h', next) end
end
local written, skipped, deleted, added = 0, 0, 0, 0
for i = 6, #ARGV, 2 do
  local field, record = ARGV[i], ARGV[i + 1]
  local stored = redis.call('HGET', overlay, field) or redis.call('HGET', bucket, field)
  if stored == '' then stored = false end
  if record == '' then
    if stored then
      deleted = deleted + 1
      added = added + redis.call('HSET', overlay, field, '')
    end
  elseif ARGV[3] == '1' and stored and is_older(record, stored) then
    skipped = skipped + 1
  else
    written = written + 1
    added = added + redis.call('HSET', overlay, field, record)
  end
end
if ARGV[4] == '1' then
  local fields = redis.call('HLEN', overlay)
  local total = tonumber(ARGV[5]) + added
  if total > 0 then
    if fields ~= total + 1 then return {'LOST'} end
    redis.call('HSET', bucket, 'h', epoch .. none .. next)
  else
    redis.call('UNLINK', overlay)
    redis.call('HSET', bucket, 'h', epoch .. next .. none)
  end
end
return {1, written, skipped, deleted, added}
""",
)

# KEYS: bucket, overlay. ARGV: published epoch, about how many fields at once, where to go on (0 to begin).
# Moves a part of a published overlay into the bucket; any number of processes may do it together.
# -> where to go on; 0 when all is done.
MERGE = Script.of(
    "allow-oom",
    """
local none = string.rep('-', 16)
local bucket, overlay, epoch = KEYS[1], KEYS[2], ARGV[1]
local head = redis.call('HGET', bucket, 'h')
if not head or head:sub(33, 48) ~= epoch then return '0' end
redis.call('HSET', bucket, 'h', epoch .. none .. epoch)
local found = redis.call('HSCAN', overlay, ARGV[3], 'COUNT', ARGV[2])
local items = found[2]
for i = 1, #items, 2 do
  local field, record = items[i], items[i + 1]
  if field ~= 'h' then
    if record == '' then redis.call('HDEL', bucket, field) else redis.call('HSET', bucket, field, record) end
    redis.call('HDEL', overlay, field)
  end
end
if found[1] == '0' then
  if redis.call('HLEN', overlay) > 1 then return '-' end
  redis.call('UNLINK', overlay)
  redis.call('HSET', bucket, 'h', epoch .. none .. none)
end
return found[1]
""",
)

# KEYS: overlay. ARGV: epoch. Removes what was staged for an epoch that will not be published.
DISCARD = Script.of(
    "allow-oom",
    "return redis.call('HGET', KEYS[1], 'h') == ARGV[1] and redis.call('UNLINK', KEYS[1]) or 0",
)

# KEYS: bucket. ARGV: epoch, fields. Gives a filled bucket its head when it has so many fields. -> the fields it has.
SEAL = Script.of(
    "",
    """
local fields = redis.call('HLEN', KEYS[1])
if fields == tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'h', ARGV[1] .. string.rep('-', 32)) end
return fields
""",
)
