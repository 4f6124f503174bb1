"""Credentials to check relays with: who gets them, and that they are short-lived and counted."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from farsite_signaling.identity import Identity, sign_relay_check, sign_renewal
from farsite_signaling.wire.netcheck import RelayCheck
from farsite_signaling.wire.rights import Role

SECRET = "a-secret-of-the-relay"


@pytest.fixture
async def world(world_in):
    return await world_in(None, turn="external", turn_host="relay.example", turn_secret=SECRET)


def _body(identity: Identity, now: float, **changes: str) -> dict[str, str]:
    return {
        "certificate": identity.certificate_pem,
        "proof": sign_relay_check(identity, now),
    } | changes


def _check(world: Any, answer: Any) -> None:
    found = RelayCheck.model_validate(answer)
    [turn] = [server for server in found.ice_servers if server.username]
    assert {url.partition(":")[0] for url in turn.urls} == {"turn", "turns"}
    assert turn.username is not None
    expiry, _, session = turn.username.partition(":")
    assert int(expiry) - world.clock().timestamp() == 300
    assert (found.expires_at - found.server_time).total_seconds() == 300
    assert session.startswith("check-")
    digest = hmac.new(SECRET.encode(), turn.username.encode(), hashlib.sha1).digest()
    assert turn.credential == base64.b64encode(digest).decode()


async def test_everybody_with_remote_access_gets_them_counted_not_audited(world):
    for role in Role:
        _check(world, await (await world.member(role)).ok("POST", "~/relay-check"))
    async with world.http.get(f"{world.running.url}/metrics") as response:
        text = await response.text()
    assert f'farsite_relay_checks_total{{kind="client"}} {len(Role)}.0' in text
    assert not [row for row in await world.audit() if "relay" in row["action"]]


async def test_every_check_has_a_quota_of_its_own(world):
    one, other = [await world.owner.ok("POST", "~/relay-check") for _ in range(2)]
    names = {
        server["username"]
        for answer in (one, other)
        for server in answer["ice_servers"]
        if server.get("username")
    }
    assert len(names) == 2


async def test_an_edge_host_proves_itself_with_its_key(world):
    _, identity = await world.edge()
    now = world.clock().timestamp()
    _check(world, await world.stranger.ok("POST", "/edge/relay-check", _body(identity, now)))


async def test_an_edge_host_without_proof_gets_nothing(world):
    edge_id, identity = await world.edge()
    _, stranger = await world.edge()
    now, post = world.clock().timestamp(), world.stranger

    async def code(**changes: str) -> str | None:
        return (await post("POST", "/edge/relay-check", _body(identity, now) | changes)).code

    assert await code(proof=sign_relay_check(stranger, now)) == "signature_invalid"
    assert await code(proof="x") == "signature_invalid"
    # A proof made for something else does not do.
    assert await code(proof=sign_renewal(identity, "", now)) == "signature_invalid"
    assert await code(proof=sign_relay_check(identity, now - 700)) == "clock_skew"
    client = await world.client()
    assert (await post("POST", "/edge/relay-check", _body(client, now))).code == "forbidden"
    await world.owner.ok("DELETE", f"~/edge-hosts/{edge_id}?risk_confirmed=true")
    assert await code() == "certificate_revoked"


async def test_guessing_is_slowed_down(world):
    _, identity = await world.edge()
    body = _body(identity, world.clock().timestamp(), proof="x")
    codes = [(await world.stranger("POST", "/edge/relay-check", body)).code for _ in range(25)]
    assert codes[0] == "signature_invalid"
    assert codes[-1] == "rate_limited"


async def test_a_cloud_without_relay_says_so_by_an_empty_list(world_in):
    world = await world_in(None)
    assert (await world.owner.ok("POST", "~/relay-check"))["ice_servers"] == []
