"""Limits on guessing, kept by one process and by Redis: whatever happens, both say the same."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from farsite_cloud.attempts import LocalAttempts, Rule
from farsite_cloud.cluster.attempts import RedisAttempts
from farsite_cloud.cluster.redis import open_redis
from farsite_signaling.wire.errors import FarsiteError

RULE = Rule(free=3, longest=timedelta(minutes=1), memory=timedelta(minutes=10))
SLOW = Rule(free=1, longest=timedelta(minutes=15), first=timedelta(seconds=30))


@pytest.fixture
async def redis(redis_url):
    client = open_redis(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


async def _waits(attempts, act: str) -> float:
    """0 when it was allowed."""
    try:
        await getattr(attempts, act)("somebody@example.com")
    except FarsiteError as error:
        assert error.code == "rate_limited"
        return error.retry_after
    return 0


async def test_the_first_pause_is_the_rules(redis, clock):
    attempts = RedisAttempts(redis, clock, "resends", SLOW)
    waits = []
    for _ in range(8):
        await attempts.begin("key")
        try:
            await attempts.check("key")
        except FarsiteError as error:
            waits.append(error.retry_after)
            clock.advance(seconds=error.retry_after)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


async def test_what_was_right_is_forgiven_and_earlier_failures_stay(redis, clock):
    attempts = RedisAttempts(redis, clock, "account", RULE)
    await attempts.failed("key")
    await attempts.failed("key")
    for _ in range(10):
        await attempts.begin("key")
        await attempts.forgive("key")
    await attempts.check("key")
    await attempts.begin("key")
    with pytest.raises(FarsiteError, match="Too many"):
        await attempts.check("key")
    for _ in range(5):
        await attempts.forgive("key")
    for _ in range(RULE.free):
        await attempts.begin("key")
    with pytest.raises(FarsiteError, match="Too many"):
        await attempts.begin("key")


async def test_what_is_forgotten_needs_no_forgiving(redis, clock):
    attempts = RedisAttempts(redis, clock, "account", RULE)
    await attempts.failed("key")
    clock.advance(minutes=10, seconds=1)
    await attempts.forgive("key")
    for _ in range(RULE.free):
        await attempts.begin("key")
    with pytest.raises(FarsiteError, match="Too many"):
        await attempts.check("key")


async def test_nobody_reads_addresses_in_redis(redis, clock):
    await RedisAttempts(redis, clock, "account", RULE).failed("somebody@example.com")
    [key] = await redis.keys("*")
    assert "somebody" not in key and 0 < await redis.pttl(key) <= 600_000


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rule", [RULE, SLOW])
async def test_one_process_and_redis_agree(redis, clock, rule, seed):
    chance = random.Random(seed)
    here, shared = LocalAttempts(clock, rule), RedisAttempts(redis, clock, "both", rule)
    acts = ["begin", "begin", "check", "failed", "forgive", "succeeded"]
    for step in range(60):
        act = chance.choices(acts, [4, 4, 3, 3, 2, 0.3])[0]
        assert await _waits(here, act) == await _waits(shared, act), (step, act)
        clock.advance(seconds=chance.choice([0, 1, 5, 40, 700, 4000]))


@pytest.mark.parametrize("kind", ["here", "shared"])
async def test_a_clock_that_was_set_back_makes_nobody_wait_for_longer(redis, clock, kind):
    limits = LocalAttempts(clock, RULE) if kind == "here" else RedisAttempts(redis, clock, "back", RULE)
    for _ in range(4):
        await limits.failed("somebody@example.com")
    assert await _waits(limits, "check") == 2
    clock.advance(days=-1)
    assert await _waits(limits, "check") == 2
    clock.advance(seconds=2)
    assert await _waits(limits, "check") == 0
