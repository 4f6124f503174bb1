"""A process's entry in Redis: who is connected to it, for a few seconds unless renewed. A crash removes it by itself."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from redis.asyncio import Redis

from farsite_cloud.cluster.messages import Alive, Left
from farsite_cloud.cluster.redis import PREFIX, shared

CHANNEL = f"{PREFIX}hubs"
_PROCESSES = f"{PREFIX}processes"
_VERSION = ""
"""The field of the entry that counts its changes; a peer's name is never empty."""
_BATCH = 500

# One script, so that the entry, its number and what is said of it stay one. Nothing: the entry is gone. `ARGV`: process,
# version, life and channel; then a name and an age for each change.
_CHANGE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, stamps = tonumber(ARGV[2]), {}
for at = 5, #ARGV, 2 do
  local told = {kind = 'changed', process = ARGV[1], version = version, name = ARGV[at]}
  if ARGV[at + 1] == '' then
    redis.call('HDEL', KEYS[1], told.name)
  else
    told.since = now - tonumber(ARGV[at + 1])
    redis.call('HSET', KEYS[1], told.name, string.format('%.0f', told.since))
  end
  redis.call('HSET', KEYS[1], '', string.format('%.0f', version))
  redis.call('PUBLISH', ARGV[4], cjson.encode(told))
  table.insert(stamps, told.since or 0)
  version = version + 1
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return stamps
"""


class Board:
    """The entry of `process`. Every method raises `unavailable` when Redis does not answer."""

    def __init__(self, redis: Redis, process: str, life: float) -> None:
        self._redis = redis
        self._process = process
        self._life = int(life * 1000)
        self._change = redis.register_script(_CHANGE)
        self._version = 0

    async def renew(self) -> bool:
        """False when the entry is gone: Redis lost it, or this process could not renew it in time."""
        alive = Alive(process=self._process, version=self._version).model_dump_json()
        async with shared("presence"), self._redis.pipeline(transaction=False) as pipe:
            pipe.pexpire(_entry(self._process), self._life)
            pipe.publish(CHANNEL, alive)
            there, _ = await pipe.execute()
        return bool(there)

    async def write(self, peers: Mapping[str, int]) -> None:
        """The whole entry, with since when each peer is there."""
        entry = _entry(self._process)
        self._version += 1
        async with shared("presence"), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(entry)
            pipe.hset(entry, mapping={_VERSION: self._version})
            for names in _batches(peers):
                pipe.hset(entry, mapping={name: peers[name] for name in names})
            pipe.pexpire(entry, self._life)
            pipe.sadd(_PROCESSES, self._process)
            pipe.publish(CHANNEL, Alive(process=self._process, version=self._version).model_dump_json())
            await pipe.execute()

    async def change(self, ages: Mapping[str, float | None]) -> dict[str, int]:
        """Of each name: the peer came so many seconds ago, or left (None).

        Since when each is there, in ms of Redis' clock, 0 for who left; nothing when the entry is gone.
        """
        values: list[str | int] = [self._process, self._version + 1, self._life, CHANNEL]
        for name, age in ages.items():
            values += [name, "" if age is None else str(int(age * 1000))]
        self._version += len(ages)
        async with shared("presence"):
            stamps = await self._change(keys=[_entry(self._process)], args=values)
        return dict(zip(ages, map(int, stamps), strict=False))

    async def now(self) -> int:
        """Redis' clock, ms."""
        async with shared("presence"):
            seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def read(self, process: str) -> tuple[int, dict[str, int]] | None:
        """Version and peers of another process; None when it is no more."""
        async with shared("presence"):
            found: dict[str, str] = await self._redis.hgetall(_entry(process))  # type: ignore[misc]
        if not found:
            return None
        version = int(found.pop(_VERSION, 0))
        return version, {name: int(since) for name, since in found.items()}

    async def others(self) -> list[str]:
        async with shared("presence"):
            found: set[str] = await self._redis.smembers(_PROCESSES)  # type: ignore[misc]
        return sorted(set(found) - {self._process})

    async def strike(self, process: str) -> bool:
        """Take a process that is no more off the list. True for the one that does, of all that noticed."""
        async with shared("presence"):
            return bool(await self._redis.srem(_PROCESSES, process))  # type: ignore[misc]

    async def leave(self) -> None:
        async with shared("presence"), self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(_entry(self._process))
            pipe.srem(_PROCESSES, self._process)
            pipe.publish(CHANNEL, Left(process=self._process).model_dump_json())
            await pipe.execute()


def _entry(process: str) -> str:
    return f"{PREFIX}hub:{process}"


def _batches(peers: Mapping[str, int]) -> list[list[str]]:
    names = iter(peers)
    return list(iter(lambda: list(itertools.islice(names, _BATCH)), []))
