from __future__ import annotations

import re

import pyotp
import pytest

from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.wire.rights import Role

PASSWORD = {"password": OWNER_PASSWORD}
CREDENTIALS = {"email": OWNER_EMAIL, **PASSWORD}


async def _mailed(world, email: str = OWNER_EMAIL) -> str:
    text = (await world.mails(email))[-1].content.text
    match = re.search(r"^    (\d{8})$", text, re.MULTILINE)
    assert match is not None, text
    return match[1]


async def _turn_on(world) -> list[str]:
    await world.owner.ok("POST", "/me/mfa/email", PASSWORD)
    codes = (await world.owner.ok("POST", "/me/mfa/email/enable", {"code": await _mailed(world)}))["codes"]
    world.clock.advance(minutes=1)
    return codes


async def _sign_in(world, code: str | None = None):
    return await world.stranger("POST", "/auth/sign-in", CREDENTIALS | ({"code": code} if code else {}))


async def _mail(world):
    return await world.stranger("POST", "/auth/mail-code", CREDENTIALS)


@pytest.mark.both_databases
async def test_a_mailed_code_is_the_second_factor(world):
    other = await world.signed_in(OWNER_EMAIL)
    codes = await _turn_on(world)
    assert len(codes) == 10
    assert (await other("GET", "/me")).status == 401
    state = await world.owner.ok("GET", "/me/mfa")
    assert (state["enabled"], state["email"], state["app"]) == (True, True, False)
    asked = await _sign_in(world)
    assert (asked.code, asked.body["errors"]) == ("mfa_required", [{"method": "email"}])
    assert (await _mail(world)).status == 204
    code = await _mailed(world)
    signed_in = await _sign_in(world, code)
    assert signed_in.status == 200
    assert (await _sign_in(world, code)).code == "sign_in_failed"
    assert (await _sign_in(world, codes[0])).status == 200
    world.stranger.token = signed_in.body["token"]
    [here] = [one for one in (await world.stranger.ok("GET", "/me/sessions"))["sessions"] if one["current"]]
    assert here["mfa"]


async def test_a_code_expires_and_the_newest_counts(world):
    await _turn_on(world)
    await _mail(world)
    first = await _mailed(world)
    world.clock.advance(minutes=1)
    await _mail(world)
    second = await _mailed(world)
    assert (await _sign_in(world, first)).code == "sign_in_failed"
    world.clock.advance(minutes=10)
    assert (await _sign_in(world, second)).code == "sign_in_failed"


async def test_a_code_is_void_after_five_wrong_ones(world):
    await _turn_on(world)
    await _mail(world)
    code = await _mailed(world)
    for number in range(5):
        assert (await _sign_in(world, f"0000000{number}")).status == 401
    limits = world.services.limits
    await limits.account.succeeded(f"{OWNER_EMAIL}|127.0.0.1")
    assert (await _sign_in(world, code)).code == "sign_in_failed"


async def test_mails_are_limited_to_one_and_then_slower(world):
    await _turn_on(world)
    assert (await _mail(world)).status == 204
    limited = await _mail(world)
    assert (limited.code, limited.headers["Retry-After"]) == ("rate_limited", "30")
    world.clock.advance(seconds=30)
    assert (await _mail(world)).status == 204
    assert (await _mail(world)).headers["Retry-After"] == "60"


async def test_a_code_is_mailed_to_those_with_the_password_and_the_factor_only(world):
    assert (await _mail(world)).code == "conflict"
    await _turn_on(world)
    before = len(await world.mails())
    wrong = await world.stranger("POST", "/auth/mail-code", {"email": OWNER_EMAIL, "password": "wrong"})
    assert wrong.code == "sign_in_failed"
    assert len(await world.mails()) == before


async def test_who_chose_nothing_gets_codes_by_mail_when_an_organization_asks(world):
    member = await world.member(Role.VIEWER, email="member@example.com")
    async with world.services.database.writing() as session:
        from farsite_cloud.accounts.service import find_account

        account = await find_account(session, "member@example.com")
        account.password_hash = await world.services.passwords.hash(OWNER_PASSWORD)
    await _turn_on(world)
    await world.owner.ok("PATCH", "~", {"require_mfa": True})
    assert (await member("GET", "~/edge-hosts")).code == "mfa_setup_required"
    theirs = {"email": "member@example.com", **PASSWORD}
    asked = await world.stranger("POST", "/auth/sign-in", theirs)
    assert (asked.code, asked.body["errors"]) == ("mfa_required", [{"method": "email"}])
    await world.stranger.ok("POST", "/auth/mail-code", theirs)
    code = await _mailed(world, "member@example.com")
    member.token = (await world.stranger.ok("POST", "/auth/sign-in", theirs | {"code": code}))["token"]
    await member.ok("GET", "~/edge-hosts")
    state = await member.ok("GET", "/me/mfa")
    assert (state["enabled"], state["required"]) == (False, True)


async def test_beside_an_app_either_works_and_each_is_turned_off_by_itself(world):
    await _turn_on(world)
    refused = await world.owner("POST", "/me/mfa/secret", PASSWORD)
    assert refused.code == "mfa_required"
    await world.owner.ok("POST", "/me/mfa/mail-code")
    made = await world.owner.ok("POST", "/me/mfa/secret", PASSWORD | {"code": await _mailed(world)})
    # An app that is not on yet proves nothing.
    totp = pyotp.TOTP(made["secret"])
    off = await world.owner("POST", "/me/mfa/disable", PASSWORD | {"code": totp.at(world.clock())})
    assert off.code == "sign_in_failed"
    world.clock.advance(minutes=1)
    added = await world.owner.ok("POST", "/me/mfa/enable", {"code": totp.at(world.clock())})
    assert added["codes"] == []
    world.clock.advance(minutes=1)
    methods = (await _sign_in(world)).body["errors"]
    assert methods == [{"method": "app"}, {"method": "email"}]
    await _mail(world)
    assert (await _sign_in(world, await _mailed(world))).status == 200
    assert (await _sign_in(world, totp.at(world.clock()))).status == 200
    world.clock.advance(minutes=1)
    proof = PASSWORD | {"code": totp.at(world.clock()), "factor": "email"}
    await world.owner.ok("POST", "/me/mfa/disable", proof)
    assert (await _sign_in(world)).body["errors"] == [{"method": "app"}]
    assert (await _mail(world)).code == "conflict"


@pytest.mark.parametrize("path", ["/me/mfa/email/enable", "/me/mfa/mail-code"])
async def test_nothing_is_proven_before_something_was_mailed(world, path):
    body = {"code": "00000000"} if path.endswith("enable") else None
    assert (await world.owner("POST", path, body)).code in ("sign_in_failed", "conflict")


async def test_codes_are_not_in_the_database_in_clear(tmp_path, world_in):
    world = await world_in(tmp_path)
    await _turn_on(world)
    await _mail(world)
    code = await _mailed(world)
    await world.services.database.aclose()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("farsite.db*"))
    assert OWNER_EMAIL.encode() in stored and code.encode() not in stored
