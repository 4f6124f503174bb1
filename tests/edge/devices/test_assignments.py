"""Host names and addresses for many: tables, rules, conflicts, and devices that do not come back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.assign.table import conflicts, host_name, planned
from farsite_signaling.wire.assign_api import AssignPlan, AssignPlanRow, AssignRequest, AssignRow, AssignRule
from farsite_signaling.wire.edge_tasks import TaskState
from farsite_signaling.wire.errors import FarsiteError
from tests.edge.devices.conftest import Site, site_of

NETWORK = {"bind": "127.0.49.2", "https": False, "allow_loopback_devices": True}


def plan(request: AssignRequest, taken: frozenset[str] = frozenset()) -> list[AssignPlanRow]:
    return planned(request, lambda _device: "P3265-V", taken.__contains__)


def test_a_table_as_spreadsheets_make_it() -> None:
    text = (
        "\ufeffSerial;Host name;IP address;Netmask;Gateway;DNS\r\n"
        "# the doors\r\n"
        'b8:a4:4f:00:00:01;"door-1";10.0.0.11;255.255.255.0;10.0.0.1;10.0.0.2 10.0.0.3\r\n'
        "\r\n"
        "B8A44F000002;door-2;DHCP;;;\r\n"
        "B8A44F000003;door-3;;;;\r\n"
        "B8A44F000004;-bad-;10.0.0.14;24;10.0.0.1;\r\n"
        "B8A44F000005;;10.0.0.15;24;10.9.0.1;\r\n"
        "B8A44F000006;;10.0.0.0;24;;\r\n"
        "B8A44F000007;;10.0.0.300;24;;\r\n"
        "B8A44F000008;;;;;\r\n"
    )
    rows = plan(AssignRequest(csv=text))
    assert [(one.line, one.device[-1], one.address, one.problem is None) for one in rows] == [
        (3, "1", "10.0.0.11/24", True),
        (5, "2", "dhcp", True),
        (6, "3", "", True),
        (7, "4", "", False),
        (8, "5", "", False),
        (9, "6", "", False),
        (10, "7", "", False),
        (11, "8", "", False),
    ]
    assert (rows[0].host_name, rows[0].router, rows[0].dns) == (
        "door-1",
        "10.0.0.1",
        ["10.0.0.2", "10.0.0.3"],
    )
    assert "not in 10.0.0.0/24" in (rows[4].problem or "")
    assert "nothing is asked" in (rows[7].problem or "")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (AssignRequest(), "one of rows, csv and rule"),
        (AssignRequest(csv="host,address\na,b"), "serial numbers"),
        (AssignRequest(csv="serial,colour\na,b"), "'colour' is not known"),
        (AssignRequest(csv="# nothing\n"), "empty"),
        (AssignRequest(rule=AssignRule(ids=["A"], first="10.0.0.9")), "not within|begins with"),
        (AssignRequest(rule=AssignRule(ids=["A"], first="10.0.0.9/24", last="10.0.1.9")), "not within"),
        (AssignRequest(rule=AssignRule(ids=["A"], host_name="{shell}")), "Host names may hold"),
    ],
)
def test_what_is_no_table_at_all(request_: AssignRequest, said: str) -> None:
    with pytest.raises(FarsiteError, match=said):
        plan(request_)


def test_a_rule() -> None:
    rule = AssignRule(
        ids=["A1", "A2", "A3"],
        host_name="cam-{serial}-{n:03}",
        first="10.0.0.9/24",
        last="10.0.0.11",
        router="10.0.0.10",
    )
    rows = plan(AssignRequest(rule=rule))
    assert [one.host_name for one in rows] == ["cam-a1-001", "cam-a2-002", "cam-a3-003"]
    assert [one.address for one in rows] == ["10.0.0.9/24", "10.0.0.11/24", ""]
    assert "no further free address" in (rows[2].problem or "")
    rows = plan(AssignRequest(rule=rule), frozenset({"10.0.0.9"}))
    assert rows[0].address == "10.0.0.11/24"
    assert host_name("{model}-{n}", "A1", "C Bullet LE", 7) == "c-bullet-le-7"


def test_twice_in_one_table() -> None:
    rows = plan(
        AssignRequest(
            rows=[
                AssignRow(device="A1", address="10.0.0.5/24", host_name="door"),
                AssignRow(device="A2", address="10.0.0.5/24"),
                AssignRow(device="A3", host_name="DOOR"),
                AssignRow(device="a1", host_name="other"),
            ]
        )
    )
    assert set(conflicts(rows)) == {2, 3, 4}


async def ask(site: Site, body: dict[str, Any]) -> AssignPlan:
    return await site.caller.call("POST", "/devices/assignments", AssignPlan, body)


async def test_conflicts_are_found_first(tmp_path: Path) -> None:
    async with site_of(tmp_path, "P3265-V", count=2, **NETWORK) as site:
        await site.manage()
        first, second = site.devices
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.49.60", first.http_port)
        async with server:
            for address, said in (
                ("127.0.0.1/8", "edge host's own"),
                (
                    f"{second.address}/24",
                    "is the address of the device" if second.address != first.address else "",
                ),
                ("127.0.49.60/24", "Somebody answers"),
            ):
                made = await ask(
                    site, {"rows": [{"device": first.serial, "address": address}], "check": True}
                )
                assert said in (made.rows[0].problem or ""), (address, made)
                assert made.task is None
        made = await ask(
            site, {"rows": [{"device": "ACCC8E00DEAD", "address": "127.0.49.61/24"}], "check": True}
        )
        assert "ACCC8E00DEAD" in (made.rows[0].problem or "")
        assert first.address == site.edge.host.registry.get(first.serial).address


@pytest.mark.parametrize("model", ["P3265-V", "M3024-L"])
async def test_names_addresses_and_servers(tmp_path: Path, model: str) -> None:
    async with site_of(tmp_path, model, **NETWORK) as site:
        await site.manage()
        device = site.devices[0]
        table = f"serial,hostname,address,prefix,dns\n{device.serial},door-1,127.0.49.81,24,10.0.0.2\nNOBODY,x,,,\n"
        made = await ask(site, {"csv": table})
        assert made.task is not None and [one.problem is None for one in made.rows] == [True, False]
        done = await site.finished(made.task.id)
        assert done.state is TaskState.SUCCEEDED, done.devices[0].detail
        record = site.edge.host.registry.get(device.serial)
        assert (record.address, device.address, record.hostname) == ("127.0.49.81", "127.0.49.81", "door-1")
        assert "door-1" in done.devices[0].detail and "10.0.0.2" in done.devices[0].detail


async def test_a_device_that_does_not_return(tmp_path: Path) -> None:
    async with site_of(tmp_path, "P3265-V", **NETWORK) as site:
        await site.manage()
        device = site.devices[0]
        before = device.address
        device.network.deaf = True
        made = await ask(site, {"rows": [{"device": device.serial, "address": "127.0.49.82/24"}]})
        assert made.task is not None
        done = await site.finished(made.task.id)
        assert done.state is TaskState.FAILED and "kept its former settings" in done.devices[0].detail
        assert site.edge.host.registry.get(device.serial).address == before
