"""Nobody learns from an answer, or from how long it takes, whether an address has an account."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher

from farsite_cloud.accounts.passwords import _nobodys_hash
from farsite_cloud.accounts.service import find_account
from farsite_cloud.testing import OWNER_EMAIL

KNOWN, UNKNOWN = OWNER_EMAIL, "nobody1@example.com"
# Real work, but little of it: what else differs would show all the more.
CHEAP = PasswordHasher(time_cost=2, memory_cost=8 * 1024, parallelism=1)
ROUNDS, BATCH = 12, 12


async def _nothing(*arguments: object) -> None:
    return None


@pytest.fixture
async def open_world(world):
    """Without limits, and with hashes that are quick for everybody."""
    unlimited = SimpleNamespace(
        begin=_nothing, check=_nothing, failed=_nothing, succeeded=_nothing, forgive=_nothing
    )
    limits = world.services.limits
    for name in vars(limits):
        setattr(limits, name, unlimited)
    world.services.passwords._hasher = CHEAP
    world.services.passwords._nobody = _nobodys_hash(CHEAP)
    async with world.services.database.writing() as session:
        (await find_account(session, OWNER_EMAIL)).password_hash = CHEAP.hash("right password")
        await session.flush()
    return world


async def _ratio(ask: Callable[[str], Awaitable[object]]) -> float:
    """Known over unknown, medians of samples taken in turn: what the machine does besides meets both alike.

    More samples are taken until both sides of the bar are clear of the noise, or there are enough of them.
    """
    times: dict[str, list[float]] = {KNOWN: [], UNKNOWN: []}
    for email in times:
        await ask(email)
    for _ in range(ROUNDS):
        for _, email in itertools.product(range(BATCH), times):
            started = time.perf_counter()
            await ask(email)
            times[email].append(time.perf_counter() - started)
        ratio = statistics.median(times[KNOWN]) / statistics.median(times[UNKNOWN])
        if 0.95 < ratio < 1.05:
            return ratio
    return ratio


CALLS = {
    "sign-in": ("/auth/sign-in", {"password": "wrong"}),
    "mail-code": ("/auth/mail-code", {"password": "wrong"}),
    "forgot": ("/auth/forgot", {}),
    "sign-up": ("/auth/sign-up", {}),
}


@pytest.mark.parametrize("name", CALLS)
async def test_answers_take_as_long_with_and_without_an_account(open_world, name):
    path, body = CALLS[name]

    async def ask(email: str) -> None:
        await open_world.stranger("POST", path, {"email": email, **body})

    ratio = await _ratio(ask)
    assert 0.9 < ratio < 1.1, ratio


@pytest.mark.parametrize("name", CALLS)
async def test_answers_are_the_same_with_and_without_an_account(world, name):
    path, body = CALLS[name]
    replies = [
        await world.stranger("POST", path, {"email": email, **body}) for email in (OWNER_EMAIL, UNKNOWN)
    ]
    known, unknown = [(reply.status, reply.text, sorted(reply.headers)) for reply in replies]
    assert known == unknown


async def test_an_account_without_a_password_looks_like_none(open_world):
    await open_world.account("service@example.com")

    async def ask(email: str) -> None:
        given = "service@example.com" if email == KNOWN else UNKNOWN
        await open_world.stranger("POST", "/auth/sign-in", {"email": given, "password": "wrong"})

    ratio = await _ratio(ask)
    assert 0.9 < ratio < 1.1, ratio


async def test_passkeys_are_asked_for_without_an_address(world_in):
    world = await world_in(None, public_url="http://localhost:1")
    options = await world.stranger.ok("POST", "/auth/passkey/options")
    assert options["public_key"]["allowCredentials"] == []


PROXY = {"trusted_proxies": ["127.0.0.1/32"]}


def _from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def _sign_in(world, password: str, source: str, token: str | None = None) -> str | None:
    headers = _from(source) | ({"Authorization": f"Bearer {token}"} if token else {})
    body = {"email": OWNER_EMAIL, "password": password}
    return (await world.stranger("POST", "/auth/sign-in", body, headers=headers)).code


@pytest.fixture
async def proxied(world_in):
    world = await world_in(None, **PROXY)
    world.services.passwords._nobody = _nobodys_hash(CHEAP)
    async with world.services.database.writing() as session:
        (await find_account(session, OWNER_EMAIL)).password_hash = CHEAP.hash("right password")
    return world


async def test_a_strangers_guesses_do_not_lock_the_owner_out(proxied):
    for _ in range(5):
        assert await _sign_in(proxied, "wrong", "198.51.100.1") == "sign_in_failed"
    assert await _sign_in(proxied, "right password", "198.51.100.1") == "rate_limited"
    assert await _sign_in(proxied, "right password", "203.0.113.5") is None


async def test_guesses_from_everywhere_are_slowed_down_except_for_known_devices(proxied):
    body = {"email": OWNER_EMAIL, "password": "right password"}
    known = (await proxied.stranger("POST", "/auth/sign-in", body, headers=_from("203.0.113.5"))).body[
        "token"
    ]
    codes = [await _sign_in(proxied, "wrong", f"198.51.100.{number}") for number in range(50)]
    assert set(codes) == {"sign_in_failed"}
    assert await _sign_in(proxied, "right password", "198.51.100.99") == "rate_limited"
    # Where the account has signed in from before, and whoever shows a token it had, wherever that is now.
    assert await _sign_in(proxied, "right password", "203.0.113.5") is None
    await proxied.stranger("POST", "/auth/sign-out", headers={"Authorization": f"Bearer {known}"})
    assert await _sign_in(proxied, "right password", "198.51.100.98", known) is None
    # Somebody else's token makes nobody known.
    assert await _sign_in(proxied, "right password", "198.51.100.97", "fst_made-up") == "rate_limited"


async def test_a_device_has_tries_of_its_own_at_a_shared_address(proxied):
    for _ in range(5):
        assert await _sign_in(proxied, "wrong", "198.51.100.1") == "sign_in_failed"
    assert await _sign_in(proxied, "right password", "198.51.100.1", proxied.owner.token) is None


async def test_an_account_of_ones_own_does_not_pay_for_guesses_at_others(proxied):
    await proxied.account("mallory@example.com")
    async with proxied.services.database.writing() as session:
        (await find_account(session, "mallory@example.com")).password_hash = CHEAP.hash("mallory's own")
    own = {"email": "mallory@example.com", "password": "mallory's own"}
    for number in range(20):
        other = {"email": f"victim{number}@example.com", "password": "wrong"}
        assert (
            await proxied.stranger("POST", "/auth/sign-in", other, headers=_from("198.51.100.1"))
        ).status == 401
        if number < 19:
            reply = await proxied.stranger("POST", "/auth/sign-in", own, headers=_from("198.51.100.1"))
            assert reply.status == 200
    other = {"email": "victim99@example.com", "password": "wrong"}
    limited = await proxied.stranger("POST", "/auth/sign-in", other, headers=_from("198.51.100.1"))
    assert limited.code == "rate_limited"


async def test_a_household_of_ipv6_addresses_is_one_place(proxied):
    for number in range(5):
        assert await _sign_in(proxied, "wrong", f"2001:470:1:2::{number}") == "sign_in_failed"
    assert await _sign_in(proxied, "wrong", "2001:470:1:2:ffff::1") == "rate_limited"
    assert await _sign_in(proxied, "wrong", "2001:470:1:3::1") == "sign_in_failed"
