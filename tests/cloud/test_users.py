from __future__ import annotations

import asyncio

import pytest

from farsite_signaling.wire.hub import Bye, SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Role


async def _change(world, person, body, by=None):
    return await (by or world.owner)("PATCH", f"~/users/{person.account_id}", body)


async def _session(world, edge_id, person):
    body = {"client": (await world.client(person)).urn}
    return await person.ok("POST", f"~/edge-hosts/{edge_id}/sessions", body)


async def test_everybody_sees_who_is_there_and_managers_see_how_far_they_reach(world):
    folder = await world.folder("Site")
    viewer = await world.member(Role.VIEWER, folders=[folder])
    seen = (await viewer.ok("GET", "~/users"))["users"]
    assert {user["role"] for user in seen} == {"owner", "viewer"}
    assert all(user["folder_ids"] is None and user["mfa"] is None for user in seen)
    managed = await world.owner.ok("GET", f"~/users/{viewer.account_id}")
    assert (managed["folder_ids"], managed["mfa"]) == ([folder], False)


@pytest.mark.both_databases
async def test_users_are_listed_page_by_page(world):
    for number in range(5):
        await world.member(Role.VIEWER, email=f"v{number}@example.com")
    found, cursor = [], ""
    while cursor is not None:
        page = await world.owner.ok("GET", f"~/users?limit=2{cursor and '&cursor=' + cursor}")
        found += [user["email"] for user in page["users"]]
        cursor = page["next_cursor"]
    assert len(found) == len(set(found)) == 6


@pytest.mark.both_databases
async def test_users_are_found_by_text_and_role(world):
    for number in range(3):
        await world.member(Role.VIEWER, email=f"v_{number}@example.com")
    await world.member(Role.ADMIN, email="vera@example.com")

    async def found(query: str) -> list[str]:
        return [user["email"] for user in (await world.owner.ok("GET", f"~/users?{query}"))["users"]]

    assert await found("q=V_1") == ["v_1@example.com"]
    assert await found("q=v_") == [f"v_{number}@example.com" for number in range(3)]
    assert await found("q=v&role=admin") == ["vera@example.com"]
    assert await found("q=%25") == await found("role=operator") == []
    assert (await world.owner("GET", "~/users?role=king")).code == "invalid_request"


@pytest.mark.both_databases
async def test_a_role_changes_at_once_and_cuts_sessions_with_fewer_rights(world):
    """Security row S7: rights that shrink end live sessions within moments."""
    operator = await world.member(Role.OPERATOR)
    edge_id, edge_identity = await world.edge()
    edge = await world.connect(edge_identity)
    ticket = await _session(world, edge_id, operator)
    await edge.expect(SessionAnnounced)
    await world.owner.ok("PATCH", f"~/users/{operator.account_id}", {"role": "admin"})
    await operator.ok("POST", "~/setup-codes", {"name": "x"})
    changed = await _change(world, operator, {"role": "viewer"})
    assert changed.code == "invalid_request" and "folder_ids" in changed.body["detail"]
    assert (await _change(world, operator, {"role": "viewer", "all_folders": True})).status == 200
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == ticket["session"]
    assert (await operator("POST", "~/setup-codes", {"name": "x"})).status == 403


@pytest.mark.both_databases
async def test_fewer_folders_cut_what_is_outside_them(world):
    own, far = await world.folder("Own"), await world.folder("Far")
    operator = await world.member(Role.OPERATOR)
    near_id, near = await world.edge(folder=own)
    far_id, distant = await world.edge(folder=far)
    near_peer, far_peer = await world.connect(near), await world.connect(distant)
    await _session(world, near_id, operator)
    lost = await _session(world, far_id, operator)
    await near_peer.expect(SessionAnnounced)
    await far_peer.expect(SessionAnnounced)
    assert (await _change(world, operator, {"folder_ids": [own]})).body["folder_ids"] == [own]
    assert (await far_peer.expect(SessionEnded)).session == lost["session"]
    assert (await operator("GET", f"~/edge-hosts/{far_id}")).status == 404
    listed = (await operator.ok("GET", "~/edge-hosts"))["edge_hosts"]
    assert [edge["id"] for edge in listed] == [near_id]
    refused = await operator("POST", f"~/edge-hosts/{far_id}/sessions", {"client": near.urn})
    assert refused.status == 404


@pytest.mark.parametrize(
    "body",
    [
        {"folder_ids": ["unknown"]},
        {"folder_ids": []},
        {"folder_ids": ["x"], "all_folders": True},
        {"role": "admin", "folder_ids": ["x"]},
        {"role": "king"},
    ],
)
async def test_choices_that_make_no_sense_are_refused_and_change_nothing(world, body):
    folder = await world.folder("Site")
    viewer = await world.member(Role.VIEWER, folders=[folder])
    assert (await _change(world, viewer, body)).status in (400, 404)
    kept = await world.owner.ok("GET", f"~/users/{viewer.account_id}")
    assert (kept["role"], kept["folder_ids"]) == ("viewer", [folder])


async def test_owners_are_made_and_unmade_by_owners_only(world):
    admin, other = await world.member(Role.ADMIN), await world.member(Role.VIEWER)
    for person, body in (
        (other, {"role": "owner"}),
        (admin, {"role": "owner"}),
        (world.owner, {"role": "admin"}),
    ):
        refused = await _change(world, person, body, by=admin)
        assert (refused.status, refused.body["right"]) == (403, "organization.own")
    assert (await admin("DELETE", f"~/users/{world.owner.account_id}")).status == 403
    assert (await _change(world, admin, {"role": "owner"})).status == 200
    assert (await _change(world, world.owner, {"role": "admin"}, by=admin)).status == 200


@pytest.mark.both_databases
async def test_an_organization_is_never_without_an_owner(world):
    own = world.owner.account_id
    assert (await world.owner("PATCH", f"~/users/{own}", {"role": "admin"})).code == "conflict"
    assert (await world.owner("DELETE", f"~/users/{own}")).code == "conflict"
    second = await world.member(Role.OWNER)
    replies = await asyncio.gather(
        world.owner("DELETE", f"~/users/{second.account_id}"), second("DELETE", f"~/users/{own}")
    )
    assert sorted(reply.status for reply in replies) in ([204, 404], [204, 409])


async def test_handing_over_makes_an_owner_and_an_admin(world):
    viewer = await world.member(Role.VIEWER, folders=[await world.folder("Site")])
    heir = await world.owner.ok("POST", "~/transfer", {"account_id": viewer.account_id})
    assert (heir["role"], heir["folder_ids"]) == ("owner", None)
    assert (await world.owner.ok("GET", "~"))["role"] == "admin"
    assert (await world.owner("POST", "~/transfer", {"account_id": viewer.account_id})).status == 403
    assert (await viewer("POST", "~/transfer", {"account_id": viewer.account_id})).code == "conflict"
    assert (await viewer("POST", "~/transfer", {"account_id": "nobody"})).status == 404


@pytest.mark.both_databases
async def test_a_removed_user_is_out_at_once(world):
    """Security row S7: certificates, connections, sessions and setup codes end with the membership."""
    admin = await world.member(Role.ADMIN)
    edge_id, edge_identity = await world.edge()
    client_identity = await world.client(admin)
    edge, client = await world.connect(edge_identity), await world.connect(client_identity)
    path = f"~/edge-hosts/{edge_id}/sessions"
    ticket = await admin.ok("POST", path, {"client": client_identity.urn})
    await edge.expect(SessionAnnounced)
    code = await world.setup_code(admin)
    assert (await world.owner("DELETE", f"~/users/{admin.account_id}")).status == 204
    async with asyncio.timeout(5):
        assert (await edge.expect(SessionEnded)).session == ticket["session"]
        assert (await client.expect(SessionEnded)).session == ticket["session"]
        assert (await client.expect(Bye)).code == "certificate_revoked"
    assert (await admin("GET", "~/edge-hosts")).status == 404
    assert (await world.connect(client_identity)).seen[0].code == "certificate_revoked"
    claim = await world.stranger("POST", "/claims", {"code": code, "csr": "x"})
    assert claim.code == "setup_code_expired"
    [row] = await world.audit("user.removed")
    assert row["details"]["role"] == "admin"


async def test_concurrent_edits_are_told(world):
    viewer = await world.member(Role.VIEWER)
    path = f"~/users/{viewer.account_id}"
    tag = (await world.owner("GET", path)).headers["ETag"]
    await world.owner.ok("PATCH", path, {"role": "operator"})
    late = await world.owner("PATCH", path, {"role": "admin"}, headers={"If-Match": tag})
    assert (late.status, late.code) == (412, "precondition_failed")


async def test_users_of_other_organizations_do_not_exist(world):
    other = await world.other_organization()
    for method, body in (("GET", None), ("PATCH", {"role": "admin"}), ("DELETE", None)):
        assert (await world.owner(method, f"~/users/{other.account_id}", body)).status == 404


async def test_organizations_are_made_renamed_and_kept_apart(world):
    made = await world.owner.ok("POST", "/organizations", {"name": "Second"})
    assert made["role"] == "owner" and made["default_folder_id"]
    names = [one["name"] for one in (await world.owner.ok("GET", "/organizations"))["organizations"]]
    assert len(names) == 2 and "Second" in names
    await world.edge()
    assert (await world.owner.ok("GET", f"/organizations/{made['id']}/edge-hosts"))["edge_hosts"] == []
    renamed = await world.owner("PATCH", f"/organizations/{made['id']}", {"name": "New name"})
    assert renamed.body["name"] == "New name"
    tag = {"If-Match": '"1"'}
    late = await world.owner("PATCH", f"/organizations/{made['id']}", {"name": "x"}, headers=tag)
    assert late.status == 412
