from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from farsite_signaling.wire.hub import Bye, SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Right, Role


async def _session(world, program):
    edge_id, edge_identity = await world.edge()
    client_identity = await world.client(program)
    edge, client = await world.connect(edge_identity), await world.connect(client_identity)
    ticket = await program.ok("POST", f"~/edge-hosts/{edge_id}/sessions", {"client": client_identity.urn})
    await edge.expect(SessionAnnounced)
    return edge, client, ticket


async def test_a_program_acts_with_its_token_and_is_seen_to(world):
    program = await world.service(Role.ADMIN)
    await program.ok("POST", "~/setup-codes", {"name": "Site"})
    [row] = await world.audit("setup_code.created")
    assert row["actor"] == f"service:program admin@{world.owner.org}"
    [listed] = (await world.owner.ok("GET", "~/service-accounts"))["service_accounts"]
    assert (listed["actor"], listed["tokens"]) == (row["actor"], 1)
    assert [user["email"] for user in (await world.owner.ok("GET", "~/users"))["users"]] == [
        "owner@example.com"
    ]
    assert (await program.ok("GET", "/organizations"))["organizations"][0]["id"] == world.owner.org


async def test_removing_one_cuts_its_sessions_and_tunnels(world):
    program = await world.service(Role.OPERATOR)
    edge, client, ticket = await _session(world, program)
    assert (await world.owner("DELETE", f"~/service-accounts/{program.account_id}")).status == 204
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == ticket["session"]
        await client.expect(SessionEnded)
        assert (await client.expect(Bye)).code == "certificate_revoked"
    assert (await program("GET", "~/edge-hosts")).code == "unauthenticated"
    assert (await world.owner("GET", f"~/service-accounts/{program.account_id}")).status == 404
    # Its name is free again.
    await world.service(Role.OPERATOR)


async def test_disabling_one_ends_its_sessions(world):
    program = await world.service(Role.OPERATOR)
    edge, _, ticket = await _session(world, program)
    await world.owner.ok("PATCH", f"~/service-accounts/{program.account_id}", {"disabled": True})
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == ticket["session"]


async def test_a_smaller_role_ends_its_sessions(world):
    program = await world.service(Role.OPERATOR)
    edge, _, ticket = await _session(world, program)
    path = f"~/service-accounts/{program.account_id}"
    changed = await world.owner.ok("PATCH", path, {"role": "viewer", "name": "renamed"})
    assert (changed["role"], changed["actor"]) == ("viewer", f"service:renamed@{world.owner.org}")
    assert (await edge.expect(SessionEnded)).session == ticket["session"]


async def test_tokens_are_rotated_with_an_overlap(world):
    program = await world.service(Role.VIEWER)
    path = f"~/service-accounts/{program.account_id}/tokens"
    [old] = (await world.owner.ok("GET", path))["tokens"]
    fresh = await world.owner.ok("POST", f"{path}/{old['id']}/rotation", {"overlap_hours": 2})
    assert fresh["token"].startswith("fsa_") and fresh["scopes"] == old["scopes"]
    rotated = replace(program, token=fresh["token"])
    await program.ok("GET", "~/edge-hosts")
    await rotated.ok("GET", "~/edge-hosts")
    world.clock.advance(hours=2)
    assert (await program("GET", "~/edge-hosts")).code == "token_expired"
    await rotated.ok("GET", "~/edge-hosts")
    at_once = await world.owner.ok("POST", f"{path}/{fresh['id']}/rotation", {})
    assert (await rotated("GET", "~/edge-hosts")).code == "unauthenticated"
    newest = replace(program, token=at_once["token"])
    assert (await world.owner("DELETE", f"{path}/{at_once['id']}")).status == 204
    assert (await newest("GET", "~/edge-hosts")).code == "unauthenticated"


async def test_programs_do_not_sign_in_nor_get_mail(world):
    await world.service(Role.VIEWER)
    actor = f"service:program viewer@{world.owner.org}"
    signing = {"email": actor, "password": "none"}
    assert (await world.stranger("POST", "/auth/sign-in", signing)).code == "sign_in_failed"
    for path in ("/auth/forgot", "/auth/sign-up"):
        assert (await world.stranger("POST", path, {"email": actor})).code == "invalid_request"
    invitation = {"emails": [actor], "role": "viewer", "all_folders": True}
    assert (await world.owner("POST", "~/invitations", invitation)).code == "invalid_request"


async def test_programs_own_nothing(world):
    program = await world.service(Role.ADMIN)
    assert (await world.owner("POST", "~/service-accounts", {"name": "x", "role": "owner"})).status == 400
    path = f"~/service-accounts/{program.account_id}"
    assert (await world.owner("PATCH", path, {"role": "owner"})).status == 400
    assert (await world.owner("PATCH", f"~/users/{program.account_id}", {"role": "owner"})).status == 404
    assert (await world.owner("POST", "~/transfer", {"account_id": program.account_id})).status == 404


async def test_nobody_makes_a_program_stronger_than_themselves(world):
    strong = await world.service(Role.ADMIN)
    body = {"name": "people", "scopes": ["user.manage"]}
    weak = replace(world.owner, token=(await world.owner.ok("POST", "/me/tokens", body))["token"])
    made = await weak("POST", "~/service-accounts", {"name": "backdoor", "role": "admin"})
    assert (made.status, made.code) == (403, "forbidden")
    path = f"~/service-accounts/{strong.account_id}/tokens"
    assert (await weak("POST", path, {"name": "backdoor"})).status == 403


async def test_a_second_factor_is_asked_of_people_only(world):
    program = await world.service(Role.VIEWER)
    from farsite_cloud.organizations.service import lock

    async with world.services.database.writing() as session:
        (await lock(session, world.owner.org)).require_mfa = True
    assert (await world.owner("GET", "~/edge-hosts")).code == "mfa_setup_required"
    await program.ok("GET", "~/edge-hosts")


async def test_other_organizations_programs_are_not_found(world):
    other = await world.other_organization()
    program = await world.service(Role.VIEWER, owner=other)
    path = f"~/service-accounts/{program.account_id}"
    for method, end, body in [
        ("GET", "", None),
        ("PATCH", "", {"name": "mine"}),
        ("DELETE", "", None),
        ("GET", "/tokens", None),
        ("POST", "/tokens", {"name": "x"}),
    ]:
        assert (await world.owner(method, path + end, body)).status == 404, (method, end)


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "x", "role": "viewer"},
        {"name": "x", "role": "admin", "folder_ids": ["f"]},
        {"name": "x", "role": "king"},
    ],
    ids=str,
)
async def test_malformed_ones_are_refused(world, body):
    assert (await world.owner("POST", "~/service-accounts", body)).code == "invalid_request"


async def test_names_are_used_once(world):
    await world.service(Role.VIEWER)
    body = {"name": "program viewer", "role": "viewer", "all_folders": True}
    assert (await world.owner("POST", "~/service-accounts", body)).code == "conflict"
    edited = await world.owner("PATCH", "~/service-accounts/nobody", {"name": "x"})
    assert edited.status == 404


async def test_a_token_for_folders_reaches_these_only(world):
    own = await world.folder("Own")
    await world.edge(folder=own)
    await world.edge(name="Far")
    program = await world.service(Role.ADMIN, folder_ids=[own])
    assert [edge["name"] for edge in (await program.ok("GET", "~/edge-hosts"))["edge_hosts"]] == ["Site"]
    assert (await program("POST", "~/setup-codes", {"name": "x"})).body["right"] == Right.EDGE_CLAIM
