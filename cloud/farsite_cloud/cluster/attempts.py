"""Limits on guessing that all processes of a cloud count together."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from redis.asyncio import Redis

from farsite_cloud.attempts import MOST_DOUBLINGS, Rule, refuse
from farsite_cloud.clock import Clock
from farsite_cloud.cluster.redis import PREFIX, shared

# One script, because Redis runs nothing else meanwhile. The time is the caller's: tests move it.
_SCRIPT = f"""
local now, free, longest, memory = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = redis.call('HMGET', KEYS[1], 'failures', 'last')
local failures, last = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0
if now - last > memory then failures = 0 end
if last > now then
  last = now
  redis.call('HSET', KEYS[1], 'last', ARGV[1])
end
local wait = 0
if failures >= free then
  wait = last + math.min(tonumber(ARGV[6]) * 2 ^ math.min(failures - free, {MOST_DOUBLINGS}), longest) - now
end
if ARGV[5] == 'failed' or (ARGV[5] == 'begin' and wait <= 0) then
  redis.call('HSET', KEYS[1], 'failures', failures + 1, 'last', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
if ARGV[5] == 'forgive' and failures > 0 then redis.call('HINCRBY', KEYS[1], 'failures', -1) end
return math.max(0, math.ceil(wait))
"""


class RedisAttempts:
    """`Attempts`. Fails closed: without Redis nobody guesses at all (`unavailable`)."""

    def __init__(self, redis: Redis, clock: Clock, name: str, rule: Rule) -> None:
        self._clock = clock
        self._name = name
        self._rule = rule
        self._redis = redis
        self._script = redis.register_script(_SCRIPT)

    async def check(self, key: str) -> None:
        refuse(await self._run(key, "check"))

    async def failed(self, key: str) -> None:
        await self._run(key, "failed")

    async def begin(self, key: str) -> None:
        refuse(await self._run(key, "begin"))

    async def succeeded(self, key: str) -> None:
        async with shared("limits"):
            await self._redis.delete(self._key(key))

    async def forgive(self, key: str) -> None:
        await self._run(key, "forgive")

    async def _run(self, key: str, act: str) -> timedelta:
        rule = self._rule
        numbers = [_milliseconds(rule.longest), _milliseconds(rule.memory)]
        now = int(self._clock().timestamp() * 1000)
        arguments: list[str | int] = [now, rule.free, *numbers, act, _milliseconds(rule.first)]
        async with shared("limits"):
            wait = await self._script(keys=[self._key(key)], args=arguments)
        return timedelta(milliseconds=int(wait))

    def _key(self, key: str) -> str:
        """Addresses of people are not for everybody who looks into Redis."""
        return f"{PREFIX}attempts:{self._name}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _milliseconds(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)
