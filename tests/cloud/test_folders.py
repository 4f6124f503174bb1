from __future__ import annotations

import asyncio

import pytest

from farsite_signaling.wire.hub import SessionAnnounced, SessionEnded
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases


async def _tree(world) -> dict[str, str | None]:
    folders = (await world.owner.ok("GET", "~/folders"))["folders"]
    names = {folder["id"]: folder["name"] for folder in folders}
    return {folder["name"]: names.get(folder["parent_id"]) for folder in folders}


async def _move(world, folder: str, parent: str | None):
    return await world.owner("PATCH", f"~/folders/{folder}", {"parent_id": parent})


async def test_folders_make_a_tree_that_moves_as_one(world):
    europe = await world.folder("Europe")
    france = await world.folder("France", parent=europe)
    await world.folder("Paris", parent=france)
    asia = await world.folder("Asia")
    assert (await _move(world, france, asia)).status == 200
    assert (await _tree(world)) == {
        "Default folder": None,
        "Europe": None,
        "France": "Asia",
        "Paris": "France",
        "Asia": None,
    }
    assert (await _move(world, france, None)).body["parent_id"] is None
    renamed = await world.owner("PATCH", f"~/folders/{france}", {"name": "République"})
    assert (renamed.body["name"], renamed.body["parent_id"]) == ("République", None)
    assert [row["action"] for row in await world.audit()][:3] == ["folder.changed"] * 3


async def test_no_folder_comes_to_lie_below_itself(world):
    top = await world.folder("Top")
    middle = await world.folder("Middle", parent=top)
    low = await world.folder("Low", parent=middle)
    for target in (top, middle, low):
        reply = await _move(world, top, target)
        assert (reply.status, reply.code) == (409, "conflict"), target
    replies = await asyncio.gather(_move(world, middle, None), _move(world, top, low))
    assert [reply.status for reply in replies].count(200) >= 1
    tree = await _tree(world)
    seen, name = set(), "Low"
    while tree[name] is not None:
        assert name not in seen
        seen.add(name)
        name = tree[name]


async def test_folders_are_not_endlessly_deep_nor_called_the_same(world):
    parent = None
    for level in range(20):
        parent = await world.folder(f"L{level}", parent=parent)
    deep = await world.owner("POST", "~/folders", {"name": "deeper", "parent_id": parent})
    assert deep.code == "conflict"
    pair = await world.folder("Pair")
    await world.folder("Inner", parent=pair)
    ninteenth = (await world.owner.ok("GET", "~/folders"))["folders"][19]["id"]
    assert (await _move(world, pair, ninteenth)).code == "conflict"
    assert (await world.owner("POST", "~/folders", {"name": "Pair"})).code == "conflict"
    assert (await world.owner("PATCH", f"~/folders/{ninteenth}", {"name": "L18"})).status == 200


async def test_only_empty_folders_are_removed(world):
    folder = await world.folder("Site")
    child = await world.folder("Child", parent=folder)
    refused = await world.owner("DELETE", f"~/folders/{folder}")
    assert (refused.status, refused.code) == (409, "conflict") and "1 folders" in refused.body["detail"]
    assert (await world.owner("DELETE", f"~/folders/{child}")).status == 204
    edge_id, _ = await world.edge(folder=folder)
    assert "1 edge hosts" in (await world.owner("DELETE", f"~/folders/{folder}")).body["detail"]
    await world.owner.ok("DELETE", f"~/edge-hosts/{edge_id}?risk_confirmed=true")
    code = await world.setup_code(folder=folder)
    assert "1 setup codes" in (await world.owner("DELETE", f"~/folders/{folder}")).body["detail"]
    world.clock.advance(minutes=16)
    await world.member(Role.VIEWER, folders=[folder])
    assert (await world.owner("DELETE", f"~/folders/{folder}")).status == 204
    assert (await world.owner("GET", f"~/folders/{folder}")).status == 404
    claim = await world.stranger("POST", "/claims", {"code": code, "csr": "x"})
    assert claim.code == "setup_code_invalid"
    default = (await world.owner.ok("GET", "~"))["default_folder_id"]
    assert (await world.owner("DELETE", f"~/folders/{default}")).code == "conflict"


async def test_edits_of_what_changed_meanwhile_are_refused(world):
    folder = await world.folder("Site")
    tag = (await world.owner("GET", f"~/folders/{folder}")).headers["ETag"]
    await world.owner.ok("PATCH", f"~/folders/{folder}", {"name": "One"})
    reply = await world.owner("PATCH", f"~/folders/{folder}", {"name": "Two"}, headers={"If-Match": tag})
    assert (reply.status, reply.code) == (412, "precondition_failed")


async def test_making_a_folder_twice_with_one_key_makes_one(world):
    headers = {"Idempotency-Key": "k"}
    first = await world.owner("POST", "~/folders", {"name": "Site"}, headers=headers)
    second = await world.owner("POST", "~/folders", {"name": "Site"}, headers=headers)
    assert first.body == second.body and first.status == second.status == 201


async def test_other_organizations_folders_are_not_found(world):
    other = await world.other_organization()
    theirs = await world.folder("Theirs", other)
    assert (await world.owner("GET", f"~/folders/{theirs}")).status == 404
    body = {"name": "x", "parent_id": theirs}
    assert (await world.owner("POST", "~/folders", body)).status == 404
    assert (await _move(world, await world.folder("Mine"), theirs)).status == 404


async def test_a_member_sees_the_tree_from_their_folder_down(world):
    top = await world.folder("Top")
    own = await world.folder("Own", parent=top)
    below = await world.folder("Below", parent=own)
    person = await world.member(Role.OPERATOR, folders=[own])
    folders = (await person.ok("GET", "~/folders"))["folders"]
    assert {folder["id"]: folder["parent_id"] for folder in folders} == {own: None, below: own}
    assert (await person.ok("GET", f"~/folders/{own}"))["parent_id"] is None


@pytest.mark.parametrize("what", ["edge host", "folder"])
async def test_moving_something_out_of_reach_cuts_those_who_lose_it(world, what):
    own, far = await world.folder("Own"), await world.folder("Far")
    site = await world.folder("Site", parent=own)
    operator = await world.member(Role.OPERATOR, folders=[own])
    edge_id, edge_identity = await world.edge(folder=site)
    edge = await world.connect(edge_identity)
    path = f"~/edge-hosts/{edge_id}/sessions"
    kept = await world.owner.ok("POST", path, {"client": (await world.client()).urn})
    lost = await operator.ok("POST", path, {"client": (await world.client(operator)).urn})
    for _ in range(2):
        await edge.expect(SessionAnnounced)
    if what == "edge host":
        await world.owner.ok("PATCH", f"~/edge-hosts/{edge_id}", {"folder_id": far})
    else:
        await world.owner.ok("PATCH", f"~/folders/{site}", {"parent_id": far})
    assert (await edge.expect(SessionEnded)).session == lost["session"]
    assert (await operator("GET", f"~/edge-hosts/{edge_id}")).status == 404
    await world.owner.ok("DELETE", f"~/sessions/{kept['session']}")
    assert (await edge.expect(SessionEnded)).session == kept["session"]
