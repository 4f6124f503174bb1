"""Passkeys with an authenticator in software: what it says is what a browser would pass on, true or not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from farsite_cloud.testing import OWNER_EMAIL, OWNER_PASSWORD
from farsite_signaling.wire.rights import Role

ORIGIN, RP = "https://cloud.example.com", "cloud.example.com"
PASSWORD = {"password": OWNER_PASSWORD}
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Authenticator:
    """One passkey (WebAuthn Level 3, 6). Tests change its fields to make it lie."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: str = ""
    count: int = 0
    origin: str = ORIGIN
    rp: str = RP
    flags: int = PRESENT | VERIFIED

    def _client_data(self, kind: str, challenge: str) -> bytes:
        data = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(data).encode()

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def create(self, options: dict) -> dict:
        self.handle = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.credential).to_bytes(2, "big") + self.credential + cbor2.dumps(cose)
        made = {"fmt": "none", "attStmt": {}, "authData": self._data(self.flags | ATTESTED) + attested}
        response = {
            "clientDataJSON": _b64(self._client_data("webauthn.create", options["challenge"])),
            "attestationObject": _b64(cbor2.dumps(made)),
            "transports": ["internal"],
        }
        return self._credential(response)

    def get(self, options: dict) -> dict:
        data, client = self._data(self.flags), self._client_data("webauthn.get", options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": _b64(client),
            "authenticatorData": _b64(data),
            "signature": _b64(signature),
            "userHandle": self.handle,
        }
        return self._credential(response)

    def _credential(self, response: dict) -> dict:
        name = _b64(self.credential)
        return {"id": name, "rawId": name, "type": "public-key", "response": response, "extra": {}}


@pytest.fixture
async def world(world_in):
    return await world_in(None, public_url=ORIGIN)


async def _options(world) -> dict:
    return (await world.stranger.ok("POST", "/auth/passkey/options"))["public_key"]


async def _register(person, authenticator: Authenticator, name: str = "Laptop", proof=None):
    options = (await person.ok("POST", "/me/passkeys/options", proof or PASSWORD))["public_key"]
    return await person("POST", "/me/passkeys", {"name": name, "credential": authenticator.create(options)})


async def _sign_in(world, authenticator: Authenticator, options: dict | None = None):
    answer = authenticator.get(options or await _options(world))
    return await world.stranger("POST", "/auth/passkey", {"credential": answer})


async def test_options_ask_for_what_a_passkey_is(world):
    options = (await world.owner.ok("POST", "/me/passkeys/options", PASSWORD))["public_key"]
    chosen = options["authenticatorSelection"]
    assert (chosen["residentKey"], chosen["userVerification"]) == ("required", "required")
    assert (options["rp"]["id"], options["user"]["name"]) == (RP, OWNER_EMAIL)
    assert {row["alg"] for row in options["pubKeyCredParams"]} == {-7, -8, -257}
    first, second = await _options(world), await _options(world)
    assert first["challenge"] != second["challenge"]
    assert (first["userVerification"], first["rpId"], first["allowCredentials"]) == ("required", RP, [])


async def test_signing_in_with_a_passkey_and_nothing_else(world):
    authenticator = Authenticator()
    added = await _register(world.owner, authenticator)
    assert added.status == 201 and len(added.body["recovery_codes"]) == 10
    signed_in = await _sign_in(world, authenticator)
    assert signed_in.status == 200, signed_in.text
    assert signed_in.body["account"]["email"] == OWNER_EMAIL
    world.stranger.token = signed_in.body["token"]
    [here] = [one for one in (await world.stranger.ok("GET", "/me/sessions"))["sessions"] if one["current"]]
    assert here["mfa"]
    # It counts where an organization asks for a second factor.
    await world.owner.ok("PATCH", "~", {"require_mfa": True})
    await world.stranger.ok("GET", f"/organizations/{world.owner.org}/edge-hosts")
    rows = await world.audit("account.sign_in")
    assert (rows[0]["outcome"], rows[0]["details"]["method"]) == ("allowed", "passkey")


async def test_a_passkey_is_a_second_factor_of_the_password(world):
    authenticator, other = Authenticator(), await world.signed_in(OWNER_EMAIL)
    codes = (await _register(world.owner, authenticator)).body["recovery_codes"]
    assert (await other("GET", "/me")).status == 401
    body = {"email": OWNER_EMAIL, **PASSWORD}
    alone = await world.stranger("POST", "/auth/sign-in", body)
    assert (alone.code, alone.body["errors"]) == ("mfa_required", [{"method": "passkey"}])
    answer = authenticator.get(await _options(world))
    await world.stranger.ok("POST", "/auth/sign-in", body | {"passkey": answer})
    assert (
        await world.stranger("POST", "/auth/sign-in", body | {"passkey": answer})
    ).code == "sign_in_failed"
    await world.stranger.ok("POST", "/auth/sign-in", body | {"code": codes[0]})


async def test_several_are_named_renamed_and_removed(world):
    first, second = Authenticator(), Authenticator()
    one = (await _register(world.owner, first, "Laptop")).body
    proof = PASSWORD | {"passkey": first.get(await _options(world))}
    two = (await _register(world.owner, second, "Key", proof)).body
    assert two["recovery_codes"] == []
    listed = (await world.owner.ok("GET", "/me/passkeys"))["passkeys"]
    assert [passkey["name"] for passkey in listed] == ["Laptop", "Key"]
    path = f"/me/passkeys/{one['id']}"
    tag = (await world.owner("GET", path)).headers["ETag"]
    renamed = await world.owner("PATCH", path, {"name": "Work"}, headers={"If-Match": tag})
    assert renamed.body["name"] == "Work"
    stale = await world.owner("PATCH", path, {"name": "X"}, headers={"If-Match": tag})
    assert stale.status == 412
    assert (await world.owner("POST", f"{path}/remove", PASSWORD)).code == "mfa_required"
    proof = PASSWORD | {"passkey": second.get(await _options(world))}
    assert (await world.owner("POST", f"{path}/remove", proof)).status == 204
    assert (await _sign_in(world, first)).code == "sign_in_failed"
    assert (await _sign_in(world, second)).status == 200
    subjects = [mail.content.subject for mail in await world.mails(OWNER_EMAIL)]
    assert subjects == [
        "A passkey was added: Laptop",
        "A passkey was added: Key",
        "A passkey was removed: Work",
    ]


async def test_the_last_factor_stays_while_an_organization_asks_for_one(world):
    authenticator = Authenticator()
    added = (await _register(world.owner, authenticator)).body
    await world.owner.ok("PATCH", "~", {"require_mfa": True})
    proof = PASSWORD | {"passkey": authenticator.get(await _options(world))}
    assert (await world.owner("POST", f"/me/passkeys/{added['id']}/remove", proof)).code == "conflict"
    await world.owner.ok("PATCH", "~", {"require_mfa": False})
    proof = PASSWORD | {"passkey": authenticator.get(await _options(world))}
    await world.owner.ok("POST", f"/me/passkeys/{added['id']}/remove", proof)
    assert (await world.owner.ok("GET", "/me/mfa"))["recovery_codes_left"] == 0


async def test_registering_takes_the_password_and_the_factor_that_is_on(world):
    assert (await world.owner("POST", "/me/passkeys/options", {"password": "wrong"})).code == "sign_in_failed"
    await _register(world.owner, Authenticator())
    assert (await world.owner("POST", "/me/passkeys/options", PASSWORD)).code == "mfa_required"


LIES = {
    "origin": {"origin": "https://cloud.example.com.evil.example"},
    "subdomain": {"origin": "https://evil.cloud.example.com"},
    "http": {"origin": "http://cloud.example.com"},
    "relying party": {"rp": "evil.example"},
    "no verification": {"flags": PRESENT},
    "no presence": {"flags": VERIFIED},
    "key": {"key": ec.generate_private_key(ec.SECP256R1())},
    "handle": {"handle": _b64(b"somebody-else")},
    "no handle": {"handle": ""},
    "unknown": {"credential": b"x" * 32},
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_proves_nothing_is_refused(world, lie):
    authenticator = Authenticator()
    await _register(world.owner, authenticator)
    for name, value in LIES[lie].items():
        setattr(authenticator, name, value)
    options = await _options(world)
    refused = await _sign_in(world, authenticator, options)
    assert (refused.status, refused.code) == (401, "sign_in_failed")
    assert "Ask for new options" in refused.body["detail"]


@pytest.mark.parametrize("lie", ["origin", "relying party", "no verification"])
async def test_what_proves_nothing_is_not_registered(world, lie):
    refused = await _register(world.owner, Authenticator(**LIES[lie]))
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert (await world.owner.ok("GET", "/me/passkeys"))["passkeys"] == []


async def test_a_challenge_is_answered_once_by_whom_it_was_for_and_in_time(world):
    authenticator = Authenticator()
    await _register(world.owner, authenticator)
    options = await _options(world)
    assert (await _sign_in(world, authenticator, options)).status == 200
    assert (await _sign_in(world, authenticator, options)).code == "sign_in_failed"
    made_up = {"challenge": _b64(secrets.token_bytes(32))}
    assert (await _sign_in(world, authenticator, made_up)).code == "sign_in_failed"
    late = await _options(world)
    world.clock.advance(minutes=5)
    assert (await _sign_in(world, authenticator, late)).code == "sign_in_failed"
    # A refused answer uses it up too.
    spoiled = await _options(world)
    authenticator.origin = "https://evil.example"
    await _sign_in(world, authenticator, spoiled)
    authenticator.origin = ORIGIN
    assert (await _sign_in(world, authenticator, spoiled)).code == "sign_in_failed"


async def test_challenges_for_registering_are_not_for_signing_in_nor_for_others(world):
    authenticator = Authenticator()
    await _register(world.owner, authenticator)
    other = await world.account("other@example.com", "a password of others")
    theirs = (await other.ok("POST", "/me/passkeys/options", {"password": "a password of others"}))[
        "public_key"
    ]
    assert (await _sign_in(world, authenticator, theirs)).code == "sign_in_failed"
    theirs = (await other.ok("POST", "/me/passkeys/options", {"password": "a password of others"}))[
        "public_key"
    ]
    body = {"name": "Mine", "credential": Authenticator().create(theirs)}
    assert (await world.owner("POST", "/me/passkeys", body)).code == "invalid_request"


@pytest.mark.both_databases
async def test_of_many_that_give_one_answer_at_once_one_gets_in(world):
    authenticator = Authenticator()
    await _register(world.owner, authenticator)
    answer = {"credential": authenticator.get(await _options(world))}
    replies = await asyncio.gather(*(world.stranger("POST", "/auth/passkey", answer) for _ in range(4)))
    assert sorted(reply.status for reply in replies) == [200, 401, 401, 401]


async def test_a_counter_that_goes_back_is_refused_audited_and_told(world):
    authenticator = Authenticator(count=5)
    await _register(world.owner, authenticator)
    authenticator.count = 7
    assert (await _sign_in(world, authenticator)).status == 200
    for copy in (7, 6, 0):
        authenticator.count = copy
        assert (await _sign_in(world, authenticator)).code == "sign_in_failed"
    rows = await world.audit("account.passkey_counts_back")
    assert {row["outcome"] for row in rows} == {"refused"} and len(rows) == 3
    assert (await world.mails(OWNER_EMAIL))[-1].content.subject == "A passkey of yours was refused"
    authenticator.count = 8
    assert (await _sign_in(world, authenticator)).status == 200


async def test_anothers_passkey_opens_nothing_of_mine(world):
    mine, theirs = Authenticator(), Authenticator()
    await _register(world.owner, mine)
    other = await world.account("other@example.com", "a password of others")
    await _register(other, theirs, proof={"password": "a password of others"})
    body = {"email": OWNER_EMAIL, **PASSWORD, "passkey": theirs.get(await _options(world))}
    assert (await world.stranger("POST", "/auth/sign-in", body)).code == "sign_in_failed"
    # Their key under my credential's name.
    theirs.credential = mine.credential
    assert (await _sign_in(world, theirs)).code == "sign_in_failed"
    proof = PASSWORD | {"passkey": mine.get(await _options(world))}
    again = await _register(world.owner, Authenticator(credential=mine.credential), proof=proof)
    assert again.code == "conflict"
    their_id = (await other.ok("GET", "/me/passkeys"))["passkeys"][0]["id"]
    assert (await world.owner("PATCH", f"/me/passkeys/{their_id}", {"name": "x"})).code == "not_found"
    proof = PASSWORD | {"passkey": mine.get(await _options(world))}
    assert (await world.owner("POST", f"/me/passkeys/{their_id}/remove", proof)).code == "not_found"


async def test_hostile_answers_are_refused_and_break_nothing(world):
    options = (await world.owner.ok("POST", "/me/passkeys/options", PASSWORD))["public_key"]
    good = Authenticator().create(options)
    bombs = [b"", b"\x00", b"\xff" * 50, b"\x9f" * 20000, b"\x81" * 40000, cbor2.dumps({"fmt": "packed"})]
    bombs += [
        base64.urlsafe_b64decode(good["response"]["attestationObject"] + "==")[:cut] for cut in (5, 60, 150)
    ]
    for bomb in bombs:
        response = good["response"] | {"attestationObject": _b64(bomb) or "AA"}
        body = {"name": "x", "credential": good | {"response": response}}
        assert (await world.owner("POST", "/me/passkeys", body)).code == "invalid_request"
    response = good["response"] | {"clientDataJSON": _b64(b"[" * 3000)}
    body = {"name": "x", "credential": good | {"response": response}}
    assert (await world.owner("POST", "/me/passkeys", body)).code == "invalid_request"


@pytest.mark.parametrize("url", ["http://cloud.example.com", "https://192.0.2.1"])
async def test_where_browsers_make_no_passkeys_it_is_said(world_in, url):
    world = await world_in(None, public_url=url)
    refused = await world.owner("POST", "/me/passkeys/options", PASSWORD)
    assert (refused.code, refused.body["detail"][:8]) == ("conflict", "Passkeys")
    assert (await world.stranger("POST", "/auth/passkey/options")).code == "conflict"


async def test_members_are_shown_to_have_a_factor(world):
    viewer = await world.member(Role.VIEWER)
    await _register(world.owner, Authenticator())
    users = (await world.owner.ok("GET", "~/users"))["users"]
    assert {user["account_id"]: user["mfa"] for user in users} == {
        world.owner.account_id: True,
        viewer.account_id: False,
    }
