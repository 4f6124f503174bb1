from __future__ import annotations

import asyncio

import pytest
from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from farsite_cloud.accounts.passwords import Passwords
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD


def _credentials(password: str = OWNER_PASSWORD, email: str = OWNER_EMAIL) -> dict[str, str]:
    return {"email": email, "password": password}


async def test_signing_in_gives_a_token_that_says_who_one_is(world):
    result = await world.stranger.ok("POST", "/auth/sign-in", _credentials())
    world.stranger.token = result["token"]
    me = await world.stranger.ok("GET", "/me")
    assert me["account"]["email"] == OWNER_EMAIL
    assert [organization["role"] for organization in me["organizations"]] == ["owner"]


async def test_the_address_is_not_case_sensitive(world):
    await world.stranger.ok("POST", "/auth/sign-in", _credentials(email=OWNER_EMAIL.upper()))


async def test_wrong_password_and_unknown_address_look_the_same(world):
    wrong = await world.stranger("POST", "/auth/sign-in", _credentials("wrong"))
    unknown = await world.stranger("POST", "/auth/sign-in", _credentials("wrong", "nobody@example.com"))
    assert wrong.status == unknown.status == 401
    assert wrong.body == unknown.body
    assert wrong.code == "sign_in_failed"


async def test_guessing_at_an_account_is_slowed_down_exponentially(world):
    for _ in range(5):
        assert (await world.stranger("POST", "/auth/sign-in", _credentials("wrong"))).status == 401
    limited = await world.stranger("POST", "/auth/sign-in", _credentials())
    assert (limited.status, limited.code) == (429, "rate_limited")
    assert limited.headers["Retry-After"] == "1"
    world.clock.advance(seconds=1)
    assert (await world.stranger("POST", "/auth/sign-in", _credentials("wrong"))).status == 401
    limited = await world.stranger("POST", "/auth/sign-in", _credentials())
    assert limited.headers["Retry-After"] == "2"
    world.clock.advance(seconds=2)
    await world.stranger.ok("POST", "/auth/sign-in", _credentials())
    # A right password clears the account's record.
    assert (await world.stranger("POST", "/auth/sign-in", _credentials("wrong"))).status == 401


async def test_a_password_costs_a_guesser_what_rfc_9106_asks_for():
    passwords = Passwords()
    try:
        hashed = await passwords.hash("some password")
        assert extract_parameters(hashed) == RFC_9106_LOW_MEMORY
        assert extract_parameters(passwords._nobody) == RFC_9106_LOW_MEMORY
    finally:
        passwords.close()


@pytest.mark.both_databases
async def test_parallel_guesses_do_not_slip_through_together(world):
    guesses = [world.stranger("POST", "/auth/sign-in", _credentials(f"guess {n}")) for n in range(20)]
    replies = await asyncio.gather(*guesses)
    assert sum(reply.status == 401 for reply in replies) == 5
    assert sum(reply.status == 429 for reply in replies) == 15


async def test_guessing_over_many_accounts_from_one_address_is_slowed_down(world):
    for number in range(20):
        body = _credentials("wrong", f"person{number}@example.com")
        assert (await world.stranger("POST", "/auth/sign-in", body)).status == 401
    limited = await world.stranger("POST", "/auth/sign-in", _credentials("wrong", "fresh@example.com"))
    assert limited.code == "rate_limited"


async def test_signing_out_revokes_the_token_at_once_and_no_other(world):
    other = await world.signed_in(OWNER_EMAIL)
    reply = await world.owner("POST", "/auth/sign-out")
    assert reply.status == 204
    refused = await world.owner("GET", "/me")
    assert (refused.status, refused.code) == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    await other.ok("GET", "/me")


@pytest.mark.both_databases
async def test_tokens_expire(world):
    world.clock.advance(days=13, hours=23)
    await world.owner.ok("GET", "/me")
    world.clock.advance(days=15)
    assert (await world.owner("GET", "/me")).code == "token_expired"


async def test_a_made_up_token_is_refused(world):
    world.stranger.token = "fst_" + "x" * 43
    assert (await world.stranger("GET", "/me")).code == "unauthenticated"
    world.stranger.token = "é\u202e" * 10
    assert (await world.stranger("GET", "/me")).code == "unauthenticated"


async def test_signing_in_and_failing_to_are_audited(world):
    await world.stranger("POST", "/auth/sign-in", _credentials("wrong"))
    await world.stranger.ok("POST", "/auth/sign-in", _credentials())
    allowed, refused = await world.audit("account.sign_in")
    assert (allowed["outcome"], refused["outcome"]) == ("allowed", "refused")
    assert refused["details"]["code"] == "sign_in_failed"
    assert refused["source"] == "127.0.0.1"
    assert refused["actor"] == OWNER_EMAIL
