"""Devices of a whole organization: filters, order, pages, counts, exports, and who sees which."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from farsite_cloud.catalogue.file import read_catalogue
from farsite_cloud.catalogue.service import replace_catalogue
from farsite_cloud.database import Scope, text_index
from farsite_cloud.inventory.devices import warranty_until
from farsite_cloud.inventory.ingest import receive
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.inventory import DeviceFacts, ImageFacts, InventoryDelta, TagMark
from farsite_signaling.wire.rights import Role

pytestmark = pytest.mark.both_databases


MODELS = ("P3265-LV", "M3085-V", "Q6078-E")
VERSIONS = ("11.11.1", "9.80.1", "6.50.2", "12.1.3")
STATES = ("reachable", "unreachable", "credentials_required")


def device(number: int, prefix: str) -> DeviceFacts:
    return DeviceFacts(
        serial=f"{prefix}{number:06X}",
        name=f"{prefix} cam {number}",
        model=MODELS[number % 3],
        product=f"AXIS {MODELS[number % 3]} Camera",
        device_type="Dome Camera",
        version=VERSIONS[number % 4],
        state=STATES[number % 3],
        address=f"10.{len(prefix)}.0.{number}",
        first_seen=datetime(2024, 1, 31, tzinfo=UTC),
        tags=[TagMark(tag="even", at=datetime(2026, 1, 1, tzinfo=UTC))] if number % 2 == 0 else [],
    )


async def told(world, edge_id, devices, org=None, **more) -> None:
    delta = InventoryDelta(epoch="e", after=0, last=len(devices), devices=devices, **more)
    async with world.services.database.writing() as session:
        await receive(Scope(session, org or world.owner.org), edge_id, delta, world.clock())


@pytest.fixture
async def sites(world):
    """Two edge hosts in two folders, twelve devices each; ids by name."""
    ids = {}
    for name, prefix in (("North", "AA"), ("South", "BBB")):
        ids[f"{name} folder"] = folder = await world.folder(name)
        ids[name], _ = await world.edge(name=name, folder=folder)
        images = [ImageFacts(file="a.bin", id="0" * 64, version="11.11.9", models=["AXIS P3265-LV"])]
        await told(
            world,
            ids[name],
            [device(number, prefix) for number in range(12)],
            images=images[: name == "North"],
        )
    return ids


async def serials(person, query="") -> list[str]:
    """Through all pages."""
    found, cursor = [], ""
    while True:
        page = await person.ok("GET", f"~/devices?limit=5{query}{cursor}")
        found += [one["serial"] for one in page["devices"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def token_for(person, folders, *scopes):
    where = {"organization_id": person.org, "folder_ids": folders}
    made = await person.ok("POST", "/me/tokens", {"name": "x", "scopes": scopes} | where)
    return replace(person, token=made["token"])


async def test_all_devices_come_page_by_page_in_the_order_asked_for(world, sites):
    by_name = await serials(world.owner)
    assert len(by_name) == len(set(by_name)) == 24
    # Numbers in names by their size: cam 2 before cam 10.
    assert by_name[:12] == [f"AA{number:06X}" for number in range(12)]
    for sort in ("serial", "model", "version", "state", "address"):
        up, down = await serials(world.owner, f"&sort={sort}"), await serials(world.owner, f"&sort=-{sort}")
        assert up == down[::-1], sort
        assert set(up) == set(by_name)
    versions = [one["version"] for one in (await world.owner.ok("GET", "~/devices?sort=version"))["devices"]]
    assert versions == sorted(versions, key=lambda text: [int(part) for part in text.split(".")])


FILTERS = [
    ("model=P3265-LV", lambda one: one["model"] == "P3265-LV"),
    ("model=P3265-LV,M3085-V&state=reachable", lambda one: one["state"] == "reachable"),
    ("state=unreachable,reachable", lambda one: one["state"] != "credentials_required"),
    ("version=9.80.1", lambda one: one["version"] == "9.80.1"),
    ("device_type=Dome Camera", lambda one: True),
    ("q=CAM 7", lambda one: "7" in one["name"] or "7" in one["serial"] or "7" in one["model"]),
    ("q=10.3.0.4", lambda one: one["address"] == "10.3.0.4"),
    ("q=%25", lambda one: False),
    ("tag=Even", lambda one: one["tags"] == ["even"]),
    ("tag=even,other", lambda one: False),
    ("edge_host=NORTH", lambda one: one["edge_host"] == "North"),
    ("edge_host=NORTH,SOUTH", lambda one: True),
    ("folder=SOUTHFOLDER", lambda one: one["edge_host"] == "South"),
    ("support_ended=true", lambda one: one["support_ended"]),
    ("support_ended=false", lambda one: not one["support_ended"]),
    ("update_available=true", lambda one: one["update_available"]),
    ("update_available=true&tag=even&q=cam", lambda one: one["update_available"] and one["tags"]),
    ("model=nothing", lambda one: False),
]


@pytest.mark.parametrize("few", [3000, 0], ids=["by index", "in order"])
async def test_filters_and_counts_agree(world, sites, monkeypatch, few):
    monkeypatch.setattr("farsite_cloud.inventory.selection.FEW", few)
    for query, holds in FILTERS:
        await _agree(world, sites, query, holds)


async def _agree(world, sites, query, holds):
    query = query.replace("NORTH", sites["North"]).replace("SOUTHFOLDER", sites["South folder"])
    query = query.replace("SOUTH", sites["South"])
    everything = (await world.owner.ok("GET", "~/devices?limit=500"))["devices"]
    wanted = [one for one in everything if holds(one)]
    assert sorted(await serials(world.owner, f"&{query}")) == sorted(one["serial"] for one in wanted), query
    counts = await world.owner.ok("GET", f"~/devices/counts?{query}")
    assert counts["total"] == len(wanted), query
    for name in ("model", "version", "state", "device_type"):
        assert {one["value"]: one["count"] for one in counts[name]} == Counter(one[name] for one in wanted)
    edges = Counter(one["edge_host_id"] for one in wanted)
    assert {one["value"]: one["count"] for one in counts["edge_host"]} == edges
    tags = Counter(tag for one in wanted for tag in one["tags"])
    assert {one["value"]: one["count"] for one in counts["tag"]} == tags
    assert counts["support_ended"] == sum(one["support_ended"] for one in wanted)
    assert counts["update_available"] == sum(one["update_available"] for one in wanted)


async def test_a_bad_query_is_refused(world):
    long = "q=" + "x" * 201
    for query in ("cursor=abc", "cursor=W10", "sort=size", "colour=red", "limit=0", "tag=,,x%00", long):
        refused = await world.owner("GET", f"~/devices?{query}")
        assert (refused.status, refused.code) == (400, "invalid_request"), query
    assert (await world.owner("GET", "~/devices?support_ended=maybe")).status == 400
    assert (await world.owner("GET", "~/devices?folder=none")).status == 404


@pytest.mark.parametrize("chosen", ["folder=", "q=AA&folder=", "tag=x&folder=", "support_ended=true&folder="])
async def test_a_folder_without_edge_hosts_has_no_devices(world, sites, chosen):
    empty = await world.folder("Empty")
    assert not await serials(world.owner, f"&{chosen}{empty}")
    counts = await world.owner.ok("GET", f"~/devices/counts?{chosen}{empty}")
    assert (counts["total"], counts["model"], counts["edge_host"], counts["tag"]) == (0, [], [], [])
    assert (await world.owner.ok("GET", f"~/inventory/os?folder={empty}"))["rows"] == []


async def test_a_cursor_is_of_one_order_only(world, sites):
    page = await world.owner.ok("GET", "~/devices?limit=2")
    refused = await world.owner("GET", f"~/devices?limit=2&sort=serial&cursor={page['next_cursor']}")
    assert (refused.status, refused.code) == (400, "invalid_request")


@pytest.mark.parametrize("by", ["membership", "token"])
async def test_devices_of_other_folders_are_not_seen(world, sites, by):
    """Whoever is let into chosen folders only, and a token for chosen folders of somebody who sees them all."""
    south_folder = sites["South folder"]
    if by == "membership":
        viewer = await world.member(Role.VIEWER, folders=[south_folder])
    else:
        viewer = await token_for(world.owner, [south_folder], "device.read", "edge.read")
    [north, south] = [
        (await world.owner.ok("GET", f"~/devices?edge_host={sites[name]}"))["devices"][0]
        for name in ("North", "South")
    ]
    assert set(await serials(viewer)) == set(await serials(world.owner, f"&edge_host={sites['South']}"))
    assert (await viewer.ok("GET", f"~/devices/{south['id']}"))["serial"] == south["serial"]
    for name in (north["id"], north["serial"]):
        assert (await viewer("GET", f"~/devices/{name}")).status == 404
    assert await serials(viewer, f"&edge_host={sites['North']}") == []
    assert (await viewer("GET", f"~/devices?folder={sites['North folder']}")).status == 404
    assert (await viewer.ok("GET", "~/devices/counts"))["total"] == 12
    assert sum(row["devices"] for row in (await viewer.ok("GET", "~/inventory/os"))["rows"]) == 12
    assert [one["devices"] for one in (await viewer.ok("GET", "~/tags"))["tags"]] == [6]
    assert (await viewer("PATCH", f"~/devices/{south['id']}/tags", {"add": ["x"]})).status == 403
    exported = await viewer("GET", "~/devices/export?format=json&columns=serial")
    assert len(exported.body) == 12


async def test_other_organizations_devices_do_not_exist(world, sites):
    other = await world.other_organization()
    edge_id, _ = await world.edge(other)
    await told(world, edge_id, [device(1, "CC")], other.org)
    [foreign] = (await other.ok("GET", "~/devices"))["devices"]
    assert foreign["serial"] not in await serials(world.owner)
    assert (await world.owner("GET", f"~/devices/{foreign['id']}")).status == 404
    refused = await world.owner("POST", "~/devices/tags", {"devices": [foreign["id"]], "add": ["x"]})
    assert (refused.status, refused.code) == (404, "not_found")
    assert (await other.ok("GET", "~/devices/counts"))["total"] == 1


async def test_a_serial_number_that_two_edge_hosts_know_is_named_by_its_id(world, sites):
    await told(world, (await world.edge(name="Third"))[0], [device(1, "AA")])
    refused = await world.owner("GET", "~/devices/AA000001")
    assert (refused.status, refused.code) == (409, "conflict")


# AXIS OS by model, and the catalogue


async def test_the_overview_groups_by_model(world, sites):
    rows = (await world.owner.ok("GET", "~/inventory/os"))["rows"]
    assert [(row["model"], row["devices"]) for row in rows] == [(model, 8) for model in sorted(MODELS)]
    row = rows[1]
    assert [(one["version"], one["count"]) for one in row["versions"]] == [
        ("6.50.2", 2),
        ("9.80.1", 2),
        ("11.11.1", 2),
        ("12.1.3", 2),
    ]
    states = {one["version"]: (one["state"], one["recommended"]) for one in row["versions"]}
    assert states["11.11.1"] == ("update_available", "11.11.9")
    assert states["6.50.2"] == ("unsupported_track", "11.11.9")
    assert states["12.1.3"] == ("up_to_date", None)
    assert (row["track"], row["support_end"]) == ("LTS 2016", "2021-12-31")
    assert rows[0]["state"] == "unknown_model"
    inside = await world.owner.ok("GET", f"~/inventory/os?edge_host={sites['South']}")
    assert (inside["devices"], inside["rows"][1]["available"]) == (12, [])


CATALOGUE = """\
model,warranty_months,hardware_support_end,software_support_end,tracks,replacement
AXIS M3085-V,37,2031-05-31,2020-01-31,LTS 2024=11.11.77; Active=12.9.1,M3086-V
"""


async def test_the_catalogue_adds_warranty_support_and_releases(world, sites):
    async with world.services.database.writing() as session:
        await replace_catalogue(session, read_catalogue(CATALOGUE.encode()).entries)
    found = (await world.owner.ok("GET", "~/devices?model=M3085-V"))["devices"]
    assert {one["warranty_until"] for one in found} == {"2027-02-28"}
    assert found[0]["catalogue"]["replacement"] == "M3086-V"
    assert all(one["support_ended"] for one in found)
    assert {one["recommended"] for one in found if one["version"] == "11.11.1"} == {"11.11.77"}
    other = (await world.owner.ok("GET", "~/devices?model=Q6078-E"))["devices"][0]
    assert (other["warranty_until"], other["warranty_basis"], other["catalogue"]) == (None, None, None)
    [row] = [row for row in (await world.owner.ok("GET", "~/inventory/os"))["rows"] if row["catalogue"]]
    assert [(one["version"], one["edge_hosts"]) for one in row["available"]] == [
        ("12.9.1", 0),
        ("11.11.77", 0),
    ]


@pytest.mark.parametrize(
    ("first_seen", "months", "until"),
    [
        (datetime(2024, 1, 31, tzinfo=UTC), 1, "2024-02-29"),
        (datetime(2023, 12, 15, tzinfo=UTC), 36, "2026-12-15"),
        (None, 36, "None"),
        (datetime(2024, 1, 31, tzinfo=UTC), None, "None"),
    ],
)
def test_warranty_is_never_guessed(first_seen, months, until):
    assert str(warranty_until(first_seen, months)) == until


# Exports


async def test_exports_respect_the_filter_and_the_columns(world, sites):
    reply = await world.owner("GET", "~/devices/export?model=M3085-V&columns=serial,name,tags&sort=-name")
    assert reply.headers["Content-Type"].startswith("text/csv")
    assert "devices.csv" in reply.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert [row["serial"] for row in rows] == await serials(world.owner, "&model=M3085-V&sort=-name")
    assert set(rows[0]) == {"serial", "name", "tags"}
    full = await world.owner("GET", "~/devices/export?format=json&tag=even")
    assert json.loads(full.text) == full.body
    assert len(full.body) == 12
    assert full.body[0]["edge_host"] in ("North", "South")
    empty = await world.owner("GET", "~/devices/export?format=json&model=none")
    assert empty.body == []
    for query in ("format=xml", "columns=serial,colour"):
        assert (await world.owner("GET", f"~/devices/export?{query}")).status == 400


async def test_exports_of_many_pages_are_whole(world, sites, monkeypatch):
    monkeypatch.setattr("farsite_cloud.inventory.export.PAGE", 5)
    for kind in ("csv", "json"):
        reply = await world.owner("GET", f"~/devices/export?format={kind}&columns=serial")
        found = reply.body if kind == "json" else list(csv.DictReader(io.StringIO(reply.text)))
        assert [one["serial"] for one in found] == await serials(world.owner)


EVIL = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", '=HYPERLINK("http://x","y")', 'a"b,c\nd', "\u202e=1")


async def test_no_cell_is_a_formula(world):
    edge_id, _ = await world.edge(name="=edge")
    devices = [device(number, "AA").model_copy(update={"name": name}) for number, name in enumerate(EVIL)]
    await told(world, edge_id, devices)
    reply = await world.owner("GET", "~/devices/export?columns=serial,name,edge_host,http_port")
    rows = list(csv.DictReader(io.StringIO(reply.text, newline="")))
    assert len(rows) == len(EVIL)
    for row in rows:
        assert (row["http_port"], row["edge_host"]) == ("80", "'=edge")
        assert not row["name"].startswith(("=", "+", "-", "@", "\t", "＝"))
    exported = await world.owner("GET", "~/devices/export?format=json&sort=serial")
    assert [one["name"] for one in exported.body] == [clean(name) for name in EVIL]


TEXTS = ("cam 7", "aa0000", "10.3.0.4", "p3265-lv cam", "%", "_", '"', "aa\\", "nothing like this", "m3085")


def _many_devices(monkeypatch, common=2.0):
    monkeypatch.setattr("farsite_cloud.inventory.selection.GONE_THROUGH", 0)
    monkeypatch.setattr("farsite_cloud.inventory.selection.COMMON", common)


@pytest.mark.parametrize("common", [2.0, 0.6], ids=["all rare", "some common"])
@pytest.mark.parametrize("indexed", [True, False], ids=["index", "no index"])
async def test_rare_texts_are_found_by_an_index_where_there_is_one(
    world, sites, monkeypatch, indexed, common
):
    _many_devices(monkeypatch, common)
    used = []

    async def is_indexed(session, table):
        used.append(await text_index.is_indexed(session, table))
        return used[-1] and indexed

    monkeypatch.setattr("farsite_cloud.inventory.selection.is_indexed", is_indexed)
    everything = (await world.owner.ok("GET", "~/devices?limit=500"))["devices"]
    for text in TEXTS:
        for sort in ("name", "-address"):
            found = await serials(world.owner, f"&sort={sort}&q={quote(text)}")
            wanted = [one["serial"] for one in everything if _has(one, text)]
            assert sorted(found) == sorted(wanted), text
    assert used and all(used), "both databases of the tests have such an index"


def _has(one, text) -> bool:
    search = " ".join((one["serial"], one["name"], one["model"], one["address"])).casefold()
    return all(word in search for word in text.split())


async def test_the_index_is_not_asked_for_what_each_device_has(world, sites, monkeypatch):
    """It would give all of them, and of other organizations too."""
    _many_devices(monkeypatch, 0.6)
    asked = []

    def of_words(words, parts):
        asked.append((words, parts))
        return text_index.of_words(words, parts)

    monkeypatch.setattr("farsite_cloud.inventory.selection.of_words", of_words)
    everything = await serials(world.owner, "")
    assert await serials(world.owner, "&q=cam") == everything
    assert await serials(world.owner, "&q=cam+00") == everything
    assert not asked
    assert await serials(world.owner, "&q=cam+aa000001") == ["AA000001"]
    assert asked == [(["aa000001"], ["aa0", "001"])], "nor for 000, which each has"


async def test_the_index_of_texts_follows_what_changes(world, sites, monkeypatch):
    _many_devices(monkeypatch)
    first = device(0, "AA").model_copy(update={"name": "Loading bay"})
    delta = InventoryDelta(epoch="e", after=12, last=13, devices=[first])
    async with world.services.database.writing() as session:
        await receive(Scope(session, world.owner.org), sites["North"], delta, world.clock())
    assert await serials(world.owner, "&q=loading") == ["AA000000"]
    assert await serials(world.owner, "&q=loading+cam") == []
    gone = InventoryDelta(epoch="e", after=13, last=14, devices_gone=["AA000000"])
    async with world.services.database.writing() as session:
        await receive(Scope(session, world.owner.org), sites["North"], gone, world.clock())
    assert await serials(world.owner, "&q=loading") == []
