"""Nobody learns from an answer, or from how long it takes, whether an address has an account."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher
from pytest import MonkeyPatch
from sqlalchemy import event

from farsite_cloud.accounts.passwords import _nobodys_hash
from farsite_cloud.accounts.service import find_account
from farsite_cloud.api import call as calls
from farsite_cloud.testing import OWNER_EMAIL

KNOWN, UNKNOWN = OWNER_EMAIL, "nobody1@example.com"
# Real work, but little of it: what else differs would show all the more.
CHEAP = PasswordHasher(time_cost=2, memory_cost=8 * 1024, parallelism=1)
FEWEST_PAIRS, MOST_PAIRS = 40, 150


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


@dataclass
class Work:
    """What one request made the cloud do."""

    hashes: int = 0
    codes: int = 0
    statements: Counter[str] = field(default_factory=Counter)


@contextmanager
def _watched(world) -> Iterator[Work]:
    """Hashes compared, mails rendered and sealed, statements sent to the database by what they do."""
    work, passwords, engine = Work(), world.services.passwords, world.services.database.engine.sync_engine
    matches, render = passwords._matches, calls.render

    def compared(*arguments):
        work.hashes += 1
        return matches(*arguments)

    def rendered(*arguments, **values):
        work.codes += 1
        return render(*arguments, **values)

    def sent(connection, cursor, statement, parameters, context, many):
        # Tasks of the cloud's own have names: what it does without being asked is not counted.
        task = asyncio.current_task()
        if task is not None and not task.get_name().startswith("Task-"):
            return
        work.statements[statement.split(None, 1)[0].upper()] += 1

    with MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_matches", compared)
        patch.setattr(calls, "render", rendered)
        event.listen(engine, "before_cursor_execute", sent)
        try:
            yield work
        finally:
            event.remove(engine, "before_cursor_execute", sent)


async def _ratio(ask: Callable[[str], Awaitable[object]]) -> tuple[float, float]:
    """Bounds of known over unknown, that the truth is within with 99.9 %.

    Pairs are asked one after the other, in turns which one first, so that what the machine does besides meets both
    alike; of their ratios the median is taken, which a few that were interrupted do not move. Its bounds are order
    statistics: they suppose nothing about how times are distributed. What is measured is what this process computes
    (client, cloud and threads that hash are all in it): other programs' load is not in it.
    """
    ratios: list[float] = []
    for email in (KNOWN, UNKNOWN):
        await ask(email)
    for number in range(MOST_PAIRS):
        order = (KNOWN, UNKNOWN) if number % 2 else (UNKNOWN, KNOWN)
        took = {email: await _cost(ask, email) for email in order}
        ratios.append(took[KNOWN] / took[UNKNOWN])
        if number + 1 >= FEWEST_PAIRS and number % 10 == 9:
            low, high = _bounds(ratios)
            if high < 1.1 and low > 0.9:
                break
    return _bounds(ratios)


async def _cost(ask: Callable[[str], Awaitable[object]], email: str) -> float:
    started = time.process_time()
    await ask(email)
    return time.process_time() - started


def _bounds(ratios: Sequence[float]) -> tuple[float, float]:
    """Of the median: the ranks that a binomial (n, 1/2) leaves with a probability below 1 in 1,000."""
    ordered, count = sorted(ratios), len(ratios)
    away = math.ceil(3.3 * math.sqrt(count) / 2)
    return ordered[max(0, count // 2 - away)], ordered[min(count - 1, count // 2 + away)]


CALLS = {
    "sign-in": ("/auth/sign-in", {"password": "wrong"}),
    "mail-code": ("/auth/mail-code", {"password": "wrong"}),
    "forgot": ("/auth/forgot", {}),
    "sign-up": ("/auth/sign-up", {}),
}
WORK = {"sign-in": (1, 0), "mail-code": (1, 0), "forgot": (0, 1), "sign-up": (0, 1)}
"""Hashes and mails."""


@pytest.mark.both_databases
@pytest.mark.parametrize("name", CALLS)
async def test_the_same_work_is_done_with_and_without_an_account(open_world, name):
    """Security row S14, whatever the machine: a hash is compared, a mail is made and sealed, as many rows are written."""
    path, body = CALLS[name]
    done = {}
    for email in (KNOWN, UNKNOWN, KNOWN, UNKNOWN):
        with _watched(open_world) as done[email]:
            await open_world.stranger("POST", path, {"email": email, **body})
    known, unknown = done[KNOWN], done[UNKNOWN]
    assert (known.hashes, known.codes) == (unknown.hashes, unknown.codes) == WORK[name]
    writes = {"INSERT", "UPDATE", "DELETE"}
    assert {verb: known.statements[verb] for verb in writes} == {
        verb: unknown.statements[verb] for verb in writes
    }
    # An account's organizations are looked at, and their log is locked in place of the operator's.
    assert abs(known.statements.total() - unknown.statements.total()) <= 3, (known, unknown)


@pytest.mark.both_databases
async def test_an_account_in_many_organizations_makes_no_more_work(open_world):
    """Each has a log of its own, that the refusal is written into."""
    for number in range(12):
        await open_world.owner.ok("POST", "/organizations", {"name": f"Number {number}"})
    done = {}
    for email in (KNOWN, UNKNOWN, KNOWN, UNKNOWN):
        with _watched(open_world) as done[email]:
            await open_world.stranger("POST", "/auth/sign-in", {"email": email, "password": "wrong"})
    known, unknown = done[KNOWN].statements, done[UNKNOWN].statements
    assert abs(known.total() - unknown.total()) <= 3, done
    organizations = (await open_world.owner.ok("GET", "/organizations"))["organizations"]
    for organization in organizations:
        person = replace(open_world.owner, org=organization["id"])
        async with asyncio.timeout(20):
            while len(await open_world.audit("account.sign_in", person)) < 2:
                await asyncio.sleep(0.05)
    assert len(organizations) == 13


@pytest.mark.parametrize("name", CALLS)
async def test_answers_take_as_long_with_and_without_an_account(open_world, name):
    """Security row S14: medians differ by less than a tenth. It fails when they are shown to differ by more."""
    path, body = CALLS[name]

    async def ask(email: str) -> None:
        await open_world.stranger("POST", path, {"email": email, **body})

    low, high = await _ratio(ask)
    assert low < 1.1 and high > 0.9, (low, high)


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

    low, high = await _ratio(ask)
    assert low < 1.1 and high > 0.9, (low, high)


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
