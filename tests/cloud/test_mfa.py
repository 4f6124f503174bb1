from __future__ import annotations

import asyncio

import pyotp
import pytest

from farsite_cloud.accounts.models import Account
from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Role

PASSWORD = {"password": OWNER_PASSWORD}


def _code(world, secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(world.clock(), counter_offset=steps)


async def _turn_on(world, person=None) -> tuple[str, list[str]]:
    person = person or world.owner
    made = await person.ok("POST", "/me/mfa/secret", PASSWORD)
    assert made["uri"].startswith("otpauth://totp/Farsite:") and made["qr_svg"].startswith("<svg")
    answer = await person.ok("POST", "/me/mfa/enable", {"code": _code(world, made["secret"])})
    world.clock.advance(seconds=60)
    return made["secret"], answer["codes"]


async def _sign_in(world, code: str | None = None):
    body = {"email": OWNER_EMAIL, "password": OWNER_PASSWORD}
    return await world.stranger("POST", "/auth/sign-in", body | ({"code": code} if code else {}))


async def test_nothing_is_on_until_a_code_proves_the_app(world):
    made = await world.owner.ok("POST", "/me/mfa/secret", PASSWORD)
    assert (await _sign_in(world)).status == 200
    wrong = await world.owner("POST", "/me/mfa/enable", {"code": "000000"})
    assert wrong.code == "sign_in_failed"
    state = {"enabled": False, "app": False, "email": False, "passkeys": 0, "required": False}
    assert (await world.owner.ok("GET", "/me/mfa")) == state | {"recovery_codes_left": 0}
    await world.owner.ok("POST", "/me/mfa/enable", {"code": _code(world, made["secret"])})
    on = {"enabled": True, "app": True, "recovery_codes_left": 10}
    assert (await world.owner.ok("GET", "/me/mfa")) == state | on
    assert (await world.owner("POST", "/me/mfa/secret", PASSWORD)).code == "conflict"


async def test_signing_in_asks_for_a_code_that_works_once(world):
    secret, _ = await _turn_on(world)
    missing = await _sign_in(world)
    assert (missing.status, missing.code) == (401, "mfa_required")
    code = _code(world, secret)
    assert (await _sign_in(world, code)).status == 200
    assert (await _sign_in(world, code)).code == "sign_in_failed"
    world.clock.advance(seconds=30)
    # The step before was used; its code is refused though its time has not passed.
    assert (await _sign_in(world, code)).code == "sign_in_failed"
    assert (await _sign_in(world, _code(world, secret))).status == 200


@pytest.mark.both_databases
async def test_of_two_that_use_a_code_at_once_one_gets_in(world):
    secret, _ = await _turn_on(world)
    code = _code(world, secret)
    replies = await asyncio.gather(*(_sign_in(world, code) for _ in range(4)))
    assert sorted(reply.status for reply in replies) == [200, 401, 401, 401]


async def test_codes_of_clocks_a_step_off_count_and_no_others(world):
    secret, _ = await _turn_on(world)
    world.clock.advance(minutes=10)
    assert (await _sign_in(world, _code(world, secret, -2))).status == 401
    assert (await _sign_in(world, _code(world, secret, 2))).status == 401
    assert (await _sign_in(world, _code(world, secret, -1))).status == 200
    assert (await _sign_in(world, _code(world, secret, 1))).status == 200


async def test_guessing_codes_is_limited_with_the_right_password(world):
    await _turn_on(world)
    for number in range(5):
        assert (await _sign_in(world, f"00000{number}")).status == 401
    assert (await _sign_in(world, "000009")).code == "rate_limited"


@pytest.mark.both_databases
async def test_recovery_codes_work_once_each(world):
    secret, codes = await _turn_on(world)
    assert len(set(codes)) == 10
    assert (await _sign_in(world, codes[0].upper())).status == 200
    assert (await _sign_in(world, codes[0])).code == "sign_in_failed"
    assert (await world.owner.ok("GET", "/me/mfa"))["recovery_codes_left"] == 9
    fresh = await world.owner.ok("POST", "/me/mfa/recovery-codes", PASSWORD | {"code": _code(world, secret)})
    assert (await _sign_in(world, codes[1])).status == 401
    assert (await _sign_in(world, fresh["codes"][0])).status == 200


async def test_turning_it_off_takes_password_and_code(world):
    secret, _ = await _turn_on(world)
    no = await world.owner("POST", "/me/mfa/disable", {"password": "wrong", "code": _code(world, secret)})
    assert no.code == "sign_in_failed"
    no = await world.owner("POST", "/me/mfa/disable", PASSWORD | {"code": "000000"})
    assert no.code == "sign_in_failed"
    yes = await world.owner("POST", "/me/mfa/disable", PASSWORD | {"code": _code(world, secret)})
    assert yes.status == 204
    assert (await _sign_in(world)).status == 200
    subjects = [mail.content.subject for mail in await world.mails(OWNER_EMAIL)]
    assert subjects == ["A second factor was turned on", "The second factor was turned off"]


async def test_turning_it_on_ends_other_sign_ins(world):
    other = await world.signed_in(OWNER_EMAIL)
    await _turn_on(world)
    assert (await other("GET", "/me")).status == 401
    await world.owner.ok("GET", "/me")


async def test_an_organization_asks_for_it(world):
    viewer = await world.member(Role.VIEWER)
    edge_id, edge_identity = await world.edge()
    edge = await world.connect(edge_identity)
    body = {"client": (await world.client(viewer)).urn}
    ticket = await viewer.ok("POST", f"~/edge-hosts/{edge_id}/sessions", body)
    await edge.expect(SessionAnnounced)
    refused = await world.owner("PATCH", "~", {"require_mfa": True})
    assert (refused.status, refused.code) == (403, "mfa_setup_required")
    secret, _ = await _turn_on(world)
    await world.owner.ok("PATCH", "~", {"require_mfa": True})
    ended = await edge.expect(SessionEnded)
    assert (ended.session, ended.code) == (ticket["session"], "mfa_setup_required")
    locked = await viewer("GET", "~/edge-hosts")
    assert (locked.status, locked.code) == (403, "mfa_setup_required")
    await viewer.ok("GET", "/me")
    await world.owner.ok("GET", "~/edge-hosts")
    token = (await world.owner.ok("POST", "/me/tokens", {"name": "t", "scopes": ["edge.read"]}))["token"]
    world.stranger.token, world.stranger.org = token, world.owner.org
    await world.stranger.ok("GET", "~/edge-hosts")
    off = await world.owner("POST", "/me/mfa/disable", PASSWORD | {"code": _code(world, secret)})
    assert off.code == "conflict"


async def test_whoever_has_one_and_came_in_without_it_is_cut_off_too(world):
    """Let in by an identity provider, say: the tunnel must not go on where nothing else would be allowed."""
    viewer = await world.member(Role.VIEWER)
    edge_id, edge_identity = await world.edge()
    edge = await world.connect(edge_identity)
    body = {"client": (await world.client(viewer)).urn}
    ticket = await viewer.ok("POST", f"~/edge-hosts/{edge_id}/sessions", body)
    await edge.expect(SessionAnnounced)
    async with world.services.database.writing() as session:
        (await session.get(Account, viewer.account_id)).email_codes_since = world.clock()
    await _turn_on(world)
    await world.owner.ok("PATCH", "~", {"require_mfa": True})
    ended = await edge.expect(SessionEnded)
    assert (ended.session, ended.code) == (ticket["session"], "mfa_setup_required")


@pytest.mark.parametrize("code", ["", "12345", "x" * 65, None])
async def test_malformed_codes_are_refused(world, code):
    await _turn_on(world)
    reply = await world.owner("POST", "/me/mfa/disable", PASSWORD | {"code": code})
    assert reply.code == "invalid_request"
