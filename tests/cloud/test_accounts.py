from __future__ import annotations

import asyncio
import re

import pytest

from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded

NEW = "new@example.com"
GOOD = "a good long password"


async def _sign_up(world, email: str = NEW) -> str:
    assert (await world.stranger("POST", "/auth/sign-up", {"email": email})).status == 204
    return await world.mailed_code(email)


async def _sign_in(world, email: str, password: str):
    return await world.stranger("POST", "/auth/sign-in", {"email": email, "password": password})


async def test_signing_up_confirms_the_address(world):
    code = await _sign_up(world)
    assert (await _sign_in(world, NEW, GOOD)).status == 401
    body = {"code": code.upper(), "password": GOOD, "name": "Zoë"}
    account = await world.stranger.ok("POST", "/auth/confirm", body)
    assert (account["email"], account["name"]) == (NEW, "Zoë")
    assert (await _sign_in(world, NEW, GOOD)).status == 200
    again = await world.stranger("POST", "/auth/confirm", body)
    assert (again.status, again.code) == (400, "code_invalid")


@pytest.mark.both_databases
async def test_a_code_works_once_however_many_use_it(world):
    code = await _sign_up(world)
    bodies = [{"code": code, "password": GOOD, "name": f"n{n}"} for n in range(8)]
    replies = await asyncio.gather(*(world.stranger("POST", "/auth/confirm", body) for body in bodies))
    assert sorted(reply.status for reply in replies) == [201] + [400] * 7


async def test_codes_expire_and_newer_ones_replace_older(world):
    old = await _sign_up(world)
    code = await _sign_up(world)
    body = {"password": GOOD, "name": "n"}
    assert (await world.stranger("POST", "/auth/confirm", body | {"code": old})).code == "code_invalid"
    world.clock.advance(hours=24)
    assert (await world.stranger("POST", "/auth/confirm", body | {"code": code})).code == "code_invalid"


async def test_codes_are_for_one_purpose(world):
    await world.stranger.ok("POST", "/auth/forgot", {"email": OWNER_EMAIL})
    code = await world.mailed_code(OWNER_EMAIL)
    body = {"code": code, "password": GOOD, "name": "n"}
    assert (await world.stranger("POST", "/auth/confirm", body)).code == "code_invalid"


async def test_nobody_learns_whether_an_address_has_an_account(world):
    for path in ("/auth/sign-up", "/auth/forgot"):
        known = await world.stranger("POST", path, {"email": OWNER_EMAIL})
        unknown = await world.stranger("POST", path, {"email": "nobody@example.com"})
        assert (known.status, known.text) == (unknown.status, unknown.text) == (204, "")
    subjects = {(mail.recipient, mail.content.subject) for mail in await world.mails()}
    assert subjects == {
        (OWNER_EMAIL, "You have an account already"),
        (OWNER_EMAIL, "Choose a new password"),
        ("nobody@example.com", "Confirm your e-mail address"),
    }


async def test_mails_to_one_address_and_from_one_source_are_limited_alike(world):
    for email in (OWNER_EMAIL, "nobody@example.com"):
        for _ in range(3):
            assert (await world.stranger("POST", "/auth/forgot", {"email": email})).status == 204
        assert (await world.stranger("POST", "/auth/forgot", {"email": email})).code == "rate_limited"
    for number in range(2):
        await world.stranger.ok("POST", "/auth/forgot", {"email": f"n{number}@example.com"})
    assert (await world.stranger("POST", "/auth/forgot", {"email": "x@example.com"})).code == "rate_limited"


async def test_guessing_codes_is_limited(world):
    body = {"code": "wrong", "password": GOOD}
    for _ in range(10):
        assert (await world.stranger("POST", "/auth/reset", body)).code == "code_invalid"
    assert (await world.stranger("POST", "/auth/reset", body)).code == "rate_limited"


async def test_invited_only_clouds_mail_nothing_to_others(world_in):
    world = await world_in(None, sign_up="invited")
    body = {"emails": [NEW], "role": "admin"}
    await world.owner.ok("POST", "~/invitations", body)
    for email in (NEW, "stranger@example.com"):
        assert (await world.stranger("POST", "/auth/sign-up", {"email": email})).status == 204
    assert [mail.recipient for mail in await world.mails()] == [NEW, NEW]


@pytest.mark.parametrize(
    "email", ["x", "a b@c.de", "a@b\r\nBcc: x@y.de", "@", "a@", "é@b.de", "a@b.de,c@d.de", "a" * 65 + "@b.de"]
)
async def test_what_is_no_address_is_refused(world, email):
    reply = await world.stranger("POST", "/auth/sign-up", {"email": email})
    assert (reply.status, reply.code) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\u202eevil", "x" * 101, "nul\0", "\u200b"])
async def test_names_that_cannot_be_shown_are_refused(world, name):
    reply = await world.owner("POST", "/organizations", {"name": name})
    assert (reply.status, reply.code) == (400, "invalid_request")


@pytest.mark.both_databases
async def test_a_reset_password_signs_everybody_out_and_works_once(world):
    await world.stranger.ok("POST", "/auth/forgot", {"email": OWNER_EMAIL})
    code = await world.mailed_code(OWNER_EMAIL)
    body = {"code": code, "password": GOOD}
    token = (await world.owner.ok("POST", "/me/tokens", {"name": "t", "scopes": ["edge.read"]}))["token"]
    assert (await world.stranger("POST", "/auth/reset", body)).status == 204
    assert (await world.owner("GET", "/me")).code == "unauthenticated"
    world.stranger.token = token
    assert (await world.stranger("GET", "/me")).code == "unauthenticated"
    world.stranger.token = None
    assert (await world.stranger("POST", "/auth/reset", body)).code == "code_invalid"
    assert (await _sign_in(world, OWNER_EMAIL, OWNER_PASSWORD)).status == 401
    assert (await _sign_in(world, OWNER_EMAIL, GOOD)).status == 200
    assert (await world.mails(OWNER_EMAIL))[-1].content.subject == "Your password was changed"
    world.owner = await world.signed_in(OWNER_EMAIL, world.owner.org)
    assert await world.audit("account.password_reset")


async def test_changing_the_password_ends_other_sign_ins_and_mailed_codes(world):
    await world.stranger.ok("POST", "/auth/forgot", {"email": OWNER_EMAIL})
    code = await world.mailed_code(OWNER_EMAIL)
    other = await world.signed_in(OWNER_EMAIL)
    wrong = {"current_password": "wrong", "password": GOOD}
    assert (await world.owner("POST", "/me/password", wrong)).code == "sign_in_failed"
    right = {"current_password": OWNER_PASSWORD, "password": GOOD}
    assert (await world.owner("POST", "/me/password", right)).status == 204
    await world.owner.ok("GET", "/me")
    assert (await other("GET", "/me")).code == "unauthenticated"
    reset = await world.stranger("POST", "/auth/reset", {"code": code, "password": GOOD})
    assert reset.code == "code_invalid"
    short = {"current_password": GOOD, "password": "short"}
    assert (await world.owner("POST", "/me/password", short)).code == "invalid_request"


@pytest.mark.both_databases
async def test_sign_ins_are_listed_and_ended(world):
    headers = {"User-Agent": "Browser\u20ac 1.0"}
    reply = await world.stranger(
        "POST", "/auth/sign-in", {"email": OWNER_EMAIL, "password": OWNER_PASSWORD}, headers=headers
    )
    sessions = (await world.owner.ok("GET", "/me/sessions"))["sessions"]
    newest = sessions[0]
    assert newest["agent"].startswith("Browser") and newest["source"] == "127.0.0.1"
    assert [session["current"] for session in sessions].count(True) == 1
    stranger = await world.other_organization()
    assert (await stranger("DELETE", f"/me/sessions/{newest['id']}")).status == 404
    assert (await world.owner("DELETE", f"/me/sessions/{newest['id']}")).status == 204
    world.stranger.token = reply.body["token"]
    assert (await world.stranger("GET", "/me")).code == "unauthenticated"
    third = await world.signed_in(OWNER_EMAIL)
    assert (await world.owner("DELETE", "/me/sessions")).status == 204
    assert (await third("GET", "/me")).status == 401
    assert len((await world.owner.ok("GET", "/me/sessions"))["sessions"]) == 1


async def test_a_revoked_sign_in_cuts_its_tunnels(world):
    """Security row S7: what a token opened ends with it, within moments."""
    edge_id, edge_identity = await world.edge()
    other = await world.signed_in(OWNER_EMAIL, world.owner.org)
    client_identity = await world.client(other)
    edge, client = await world.connect(edge_identity), await world.connect(client_identity)
    path, body = f"~/edge-hosts/{edge_id}/sessions", {"client": client_identity.urn}
    kept = await world.owner.ok("POST", path, body)
    await edge.expect(SessionAnnounced)
    cut = await other.ok("POST", path, body)
    await edge.expect(SessionAnnounced)
    assert (await world.owner("DELETE", "/me/sessions")).status == 204
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == cut["session"]
        assert (await client.expect(SessionEnded)).session == cut["session"]
    assert (await world.owner("DELETE", f"~/sessions/{kept['session']}")).status == 204


async def test_no_code_or_password_reaches_the_database_or_the_log(world, caplog):
    caplog.set_level("DEBUG")
    code = await _sign_up(world)
    body = {"code": code, "password": GOOD, "name": "n"}
    await world.stranger.ok("POST", "/auth/confirm", body)
    files = world.running.cloud.settings.data_dir.glob("farsite.db*")
    stored = b"".join(file.read_bytes() for file in files)
    for secret in (code, GOOD):
        assert secret not in caplog.text
        assert secret.encode() not in stored
    assert re.search(rb"argon2id", stored)
