"""`farsite cloud doctor`: the Redis that a cloud's processes share."""

from __future__ import annotations

import asyncio

from farsite_cloud.cluster.redis import described, open_redis, shared
from farsite_cloud.settings import CloudSettings
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.netcheck import CheckRow, failed, passed, warned

OLDEST = (6, 2)
_EVICTING_ALL = "allkeys"


async def redis_rows(settings: CloudSettings) -> list[CheckRow]:
    """None without the setting: one process needs no Redis."""
    if settings.redis is None:
        return []
    url = settings.redis.get_secret_value()
    started = asyncio.get_running_loop().time()
    try:
        found = await _ask(url)
    except FarsiteError as error:
        fix = "Start Redis, and check the setting redis, its password, DNS and the firewall to it."
        return [failed("redis", f"{described(url)}: {error.detail}", fix)]
    took = (asyncio.get_running_loop().time() - started) * 1000
    return [_judged(described(url), found, took)]


async def _ask(url: str) -> dict[str, str]:
    redis = open_redis(url)
    try:
        async with shared("doctor"):
            return {name: str(value) for name, value in (await redis.info()).items()}
    finally:
        await redis.aclose()


def _judged(where: str, info: dict[str, str], took: float) -> CheckRow:
    version = info.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        return failed("redis", f"{where} is version {version}", "Update it to 6.2 or newer.")
    if info.get("role") == "slave":
        return failed("redis", f"{where} is a replica: nothing can be written", "Name the primary.")
    if info.get("maxmemory_policy", "").startswith(_EVICTING_ALL):
        text = f"{where} drops any key when memory is short, presence and limits on guessing among them"
        return warned(
            "redis", text, "Set maxmemory-policy to noeviction, or give Farsite a Redis of its own."
        )
    return passed("redis", f"{where} answers, version {version}", took)
