"""Edge hosts: filters and order, tags, removal; saved views."""

from __future__ import annotations

import pytest

from farsite_cloud.database import Scope
from farsite_cloud.inventory.ingest import receive
from farsite_signaling.wire.hub import Report, ReportAccepted
from farsite_signaling.wire.inventory import DeviceFacts, InventoryDelta, InventoryWanted, TagsSet
from farsite_signaling.wire.rights import Role


async def told(world, edge_id, *serials) -> None:
    devices = [DeviceFacts(serial=serial, state="reachable") for serial in serials]
    delta = InventoryDelta(epoch="e", after=0, last=len(devices), devices=devices)
    async with world.services.database.writing() as session:
        await receive(Scope(session, world.owner.org), edge_id, delta, world.clock())


async def names(person, query) -> list[str]:
    found, cursor = [], ""
    while True:
        page = await person.ok("GET", f"~/edge-hosts?limit=2{query}{cursor}")
        found += [one["name"] for one in page["edge_hosts"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_edge_hosts_are_filtered_and_sorted(world):
    ids, folder = {}, await world.folder("Sites")
    below = await world.folder("Below", parent=folder)
    for name, place in (("beta", None), ("Alpha", folder), ("gamma", below), ("Delta", None)):
        ids[name], identity = await world.edge(name=name, folder=place)
        if name == "gamma":
            peer = await world.connect(identity)
            report = {"id": "r", "version": "0.9", "hostname": "srv", "remote_access": True, "path": "direct"}
            report |= {"devices_managed": 7, "devices_discovered": 0}
            await peer.send(Report.model_validate(report))
            await peer.expect(ReportAccepted)
    await world.owner.ok("PATCH", f"~/edge-hosts/{ids['beta']}/tags", {"add": ["Spare"]})
    for query, wanted in {
        "&sort=name": ["Alpha", "beta", "Delta", "gamma"],
        "&sort=-name": ["gamma", "Delta", "beta", "Alpha"],
        "&sort=-devices": ["gamma", "Delta", "Alpha", "beta"],
        "&online=true": ["gamma"],
        "&online=false&sort=name": ["Alpha", "beta", "Delta"],
        "&q=SRV": ["gamma"],
        "&q=eta&sort=name": ["beta"],
        f"&folder={folder}&sort=name": ["Alpha", "gamma"],
        "&version=0.9": ["gamma"],
        "&tag=spare": ["beta"],
        "&tag=other": [],
        "&sort=age": ["beta", "Alpha", "gamma", "Delta"],
    }.items():
        found = await names(world.owner, query)
        assert (sorted(found) if "-devices" in query else found) == (
            sorted(wanted) if "-devices" in query else wanted
        ), query
    assert (await names(world.owner, "&sort=-devices"))[0] == "gamma"
    [gamma] = (await world.owner.ok("GET", "~/edge-hosts?online=true"))["edge_hosts"]
    assert (gamma["path"], gamma["version"], gamma["tags"]) == ("direct", "0.9", [])
    viewer = await world.member(Role.VIEWER, folders=[below])
    assert await names(viewer, "&sort=name") == ["gamma"]
    for query in ("sort=name&cursor=abc", "folder=none", "online=perhaps"):
        assert (await world.owner("GET", f"~/edge-hosts?{query}")).status in (400, 404)


async def test_an_edge_host_is_removed_without_devices_and_with_the_risk_confirmed(world):
    edge_id, identity = await world.edge()
    await told(world, edge_id, "A1", "A2")
    path = f"~/edge-hosts/{edge_id}"
    refused = await world.owner("DELETE", f"{path}?risk_confirmed=true")
    assert (refused.status, refused.code) == (409, "conflict")
    assert "2 devices" in refused.body["detail"]
    # Its machine is lost: nobody can remove the devices there.
    unconfirmed = await world.owner("DELETE", f"{path}/devices")
    assert (unconfirmed.status, unconfirmed.code) == (409, "confirmation_needed")
    await world.owner.ok("DELETE", f"{path}/devices?risk_confirmed=true")
    assert (await world.owner.ok("GET", "~/devices"))["devices"] == []
    assert (await world.owner.ok("GET", "~/devices/counts"))["total"] == 0
    # Should it come back after all, it tells them anew.
    peer = await world.connect(identity)
    await peer.send(InventoryDelta(epoch="e", after=2, last=3))
    assert await peer.expect(InventoryWanted) == InventoryWanted()
    online = await world.owner("DELETE", f"{path}/devices?risk_confirmed=true")
    assert (online.status, online.code) == (409, "conflict")
    unconfirmed = await world.owner("DELETE", path)
    assert (unconfirmed.status, unconfirmed.code) == (409, "confirmation_needed")
    assert "aware of the risks" in unconfirmed.body["detail"]
    await world.owner.ok("DELETE", f"{path}?risk_confirmed=true")
    assert (await world.owner.ok("GET", "~/edge-hosts"))["edge_hosts"] == []


async def test_tags_of_an_edge_host_reach_it(world):
    edge_id, identity = await world.edge()
    peer = await world.connect(identity)
    changed = await world.owner.ok("PATCH", f"~/edge-hosts/{edge_id}/tags", {"add": ["Roof", "roof ", "b"]})
    assert changed == {"tags": ["b", "roof"]}
    [thing] = (await peer.expect(TagsSet)).things
    assert (thing.serial, sorted(mark.tag for mark in thing.marks)) == (None, ["b", "roof"])
    assert (await world.owner.ok("GET", f"~/edge-hosts/{edge_id}"))["tags"] == ["b", "roof"]
    assert (await world.owner.ok("PATCH", f"~/edge-hosts/{edge_id}/tags", {"remove": ["B"]}))["tags"] == [
        "roof"
    ]
    [listed] = (await world.owner.ok("GET", "~/tags"))["tags"]
    assert listed == {"tag": "roof", "devices": 0, "edge_hosts": 1}


async def test_many_devices_are_tagged_at_once_or_not_at_all(world):
    edge_id, _ = await world.edge()
    await told(world, edge_id, "A1", "A2", "A3")
    ids = [one["id"] for one in (await world.owner.ok("GET", "~/devices"))["devices"]]
    body = {"devices": ids, "add": ["new"]}
    assert await world.owner.ok("POST", "~/devices/tags", body) == {"changed": 3}
    assert await world.owner.ok("POST", "~/devices/tags", body) == {"changed": 0}
    for wrong, status in (
        ({"devices": [*ids, "none"], "add": ["x"]}, 404),
        ({"devices": ids, "add": ["a,b"]}, 400),
        ({"devices": ids, "add": [f"t{number}" for number in range(50)]}, 409),
        ({"devices": [], "add": ["x"]}, 400),
    ):
        assert (await world.owner("POST", "~/devices/tags", wrong)).status == status
    [listed] = (await world.owner.ok("GET", "~/tags"))["tags"]
    assert (listed["tag"], listed["devices"]) == ("new", 3)
    rows = await world.audit("device.tagged")
    assert [row["outcome"] for row in rows].count("allowed") == 2


# Views


@pytest.fixture
def view():
    return {
        "name": "Old firmware",
        "query": {"support_ended": "true", "sort": "model"},
        "columns": ["serial"],
    }


async def test_views_are_kept_changed_and_removed(world, view):
    made = await world.owner.ok("POST", "~/views", view)
    assert (made["own"], made["shared"], made["query"]) == (True, False, view["query"])
    path = f"~/views/{made['id']}"
    tag = (await world.owner("GET", path)).headers["ETag"]
    changed = await world.owner("PATCH", path, {"name": "Newer"}, headers={"If-Match": tag})
    assert (changed.body["name"], changed.body["columns"]) == ("Newer", ["serial"])
    stale = await world.owner("PATCH", path, {"name": "Newest"}, headers={"If-Match": tag})
    assert (stale.status, stale.code) == (412, "precondition_failed")
    assert (await world.owner("POST", "~/views", view | {"name": "Newer"})).code == "conflict"
    await world.owner.ok("DELETE", path)
    assert (await world.owner.ok("GET", "~/views"))["views"] == []


async def test_a_view_of_what_does_not_exist_is_refused(world, view):
    for wrong in (
        {"query": {"colour": "red"}},
        {"query": {"cursor": "x"}},
        {"query": {"sort": "size"}},
        {"columns": ["colour"]},
        {"kind": "folders"},
        {"name": "\u202e"},
        {"kind": "edge_hosts"},
    ):
        refused = await world.owner("POST", "~/views", view | wrong)
        assert (refused.status, refused.code) == (400, "invalid_request"), wrong


async def test_own_views_are_seen_by_nobody_else_and_shared_ones_by_all(world, view):
    own = await world.owner.ok("POST", "~/views", view)
    shared = await world.owner.ok("POST", "~/views", view | {"shared": True, "name": "For all"})
    viewer, operator = await world.member(Role.VIEWER), await world.member(Role.OPERATOR)
    assert [one["name"] for one in (await viewer.ok("GET", "~/views"))["views"]] == ["For all"]
    assert (await viewer("GET", f"~/views/{own['id']}")).status == 404
    for person, right in ((viewer, "view.share"), (operator, "organization.manage")):
        refused = await person("PATCH", f"~/views/{shared['id']}", {"name": "Mine"})
        assert (refused.status, refused.body["right"]) == (403, right)
        assert (await person("DELETE", f"~/views/{shared['id']}")).status == 403
    refused = await viewer("POST", "~/views", view | {"shared": True, "name": "New"})
    assert (refused.status, refused.body["right"]) == (403, "view.share")
    made = await viewer.ok("POST", "~/views", view)
    assert (await viewer("PATCH", f"~/views/{made['id']}", {"shared": True})).status == 403
    other = await operator.ok("POST", "~/views", view | {"shared": True, "name": "Operator's"})
    assert (await world.owner.ok("PATCH", f"~/views/{other['id']}", {"name": "Kept"}))["own"] is False


async def test_own_views_go_with_their_maker(world, view):
    operator = await world.member(Role.OPERATOR)
    await operator.ok("POST", "~/views", view)
    await operator.ok("POST", "~/views", view | {"shared": True, "name": "For all"})
    await world.owner.ok("DELETE", f"~/users/{operator.account_id}")
    [left] = (await world.owner.ok("GET", "~/views"))["views"]
    assert left["name"] == "For all"
