"""IPv6 addresses for many: tables and rules, devices reached over IPv4 and over IPv6, and those that do not come back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from farsite_edge.assign.table import conflicts, planned
from farsite_edge.device_tasks.assign import AssignNetwork
from farsite_edge.device_tasks.change import AddressChange
from farsite_edge.device_tasks.ipv6 import IPv6
from farsite_edge.device_tasks.service import occupied
from farsite_edge.device_tasks.settings import Timing
from farsite_edge.tasks import Outcome
from farsite_edge.vapix.errors import Refused
from farsite_edge.vapix.ipv6 import IPv6Settings, ipv6_parameters, read_ipv6
from farsite_signaling.wire.assign_api import AssignPlan, AssignPlanRow, AssignRequest, AssignRow, AssignRule
from farsite_signaling.wire.edge_tasks import TaskDetail, TaskState, WorkState
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.ipv6 import device_address, device_router
from tests.edge.devices.conftest import Site, site_of

OVER4 = {"bind": "127.0.49.3", "https": False}
OVER6 = {"bind": "::1", "https": False, "discovery_interfaces": ["127.0.0.1"]}
ADDRESS = "fd00:49::20/64"


def plan(request: AssignRequest, taken: frozenset[str] = frozenset()) -> list[AssignPlanRow]:
    return planned(request, lambda _device: "P3265-V", taken.__contains__)


# Tables and rules


def test_a_table() -> None:
    rows = plan(
        AssignRequest(
            csv="serial,ip,prefix,IPv6 address,prefix6,IPv6 gateway,dns\n"
            "A1,10.0.0.5,24,FD00:0:0::20,64,fe80::1,fd00::53\n"
            "A2,,,auto,,,\n"
            "A3,,,fd00::21/64,,,\n"
            "A4,,,fd00::22,,,\n"
            "A5,fd00::23/64,,,,,\n"
            "A6,,,off,,,fd00::53\n"
            "A7,,,,,fd00::1,\n"
        )
    )
    assert [(one.ipv6, one.ipv6_router, one.problem is None) for one in rows[:3]] == [
        ("fd00::20/64", "fe80::1", True),
        ("auto", "", True),
        ("fd00::21/64", "", True),
    ]
    assert (rows[0].address, rows[0].dns) == ("10.0.0.5/24", ["fd00::53"])
    said = ["needs its prefix", "belongs to ipv6", "of no use", "needs an IPv6 address"]
    for row, word in zip(rows[3:], said, strict=True):
        assert word in (row.problem or ""), row


@pytest.mark.parametrize(
    "text",
    ["fd00::20", "fe80::20/64", "ff02::1/64", "::1/128", "::/0", "fd00::/64", "::ffff:10.0.0.1/96", "10.0.0.1/24",
     "fd00::20/129", "fd00::20%eth0/64", "x"],
)  # fmt: skip
def test_addresses_no_device_gets(text: str) -> None:
    with pytest.raises(ValueError, match=r"prefix|given"):
        device_address(text)


@pytest.mark.parametrize("text", ["fd00:1::1", "fd00::20", "ff02::1", "fe80::1%eth0", "10.0.0.1", "x"])
def test_routers_out_of_reach(text: str) -> None:
    with pytest.raises(ValueError):
        device_router(text, "fd00::20/64")
    assert device_router("FD00:0::1", "fd00::20/64") == "fd00::1"


def test_a_rule() -> None:
    rule = AssignRule(
        ids=["A1", "A2", "A3"],
        ipv6_first="fd00::20/64",
        ipv6_last="fd00::22",
        ipv6_router="fd00::21",
    )
    rows = plan(AssignRequest(rule=rule))
    assert [one.ipv6 for one in rows] == ["fd00::20/64", "fd00::22/64", ""]
    assert "no further free address" in (rows[2].problem or "")
    assert plan(AssignRequest(rule=rule), frozenset({"fd00::20"}))[0].ipv6 == "fd00::22/64"
    assert [one.ipv6 for one in plan(AssignRequest(rule=AssignRule(ids=["A1"], ipv6="off")))] == ["off"]


@pytest.mark.parametrize(
    "rule",
    [
        {"ipv6_first": "fd00::20"},
        {"ipv6_first": "fd00::20/64", "ipv6_last": "fd00:1::1"},
        {"ipv6_first": "10.0.0.1/24"},
        {"ipv6_first": "fd00::20/64", "ipv6": "auto"},
        {"ipv6_first": "fd00::20/64", "ipv6_router": "x"},
    ],
)
def test_ranges_that_are_none(rule: dict[str, Any]) -> None:
    with pytest.raises(FarsiteError, match=r"IPv6|within"):
        plan(AssignRequest(rule=AssignRule(ids=["A1"], **rule)))


def test_twice_in_one_table() -> None:
    pairs = [("A1", "fd00::5/64"), ("A2", "FD00:0::5/64"), ("A3", "auto"), ("A4", "auto")]
    rows = plan(AssignRequest(rows=[AssignRow(device=device, ipv6=ipv6) for device, ipv6 in pairs]))
    assert set(conflicts(rows)) == {2}


# Parameters

KNOWN = {
    "Network.IPv6.Enabled": "no", "Network.IPv6.AcceptRA": "yes", "Network.IPv6.DHCPv6": "auto",
    "Network.IPv6.IPAddress": "", "Network.IPv6.DefaultRouter": "", "Network.eth0.IPv6.IPAddresses": "fd00::1/64 bad",
}  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [IPv6Settings("off"), IPv6Settings("auto"), IPv6Settings("static", "fd00::20/64", "fe80::1")],
)
@pytest.mark.parametrize("lacking", [(), ("Network.IPv6.DHCPv6",), ("Network.IPv6.AcceptRA",)])
def test_what_is_written_is_what_is_read(settings: IPv6Settings, lacking: tuple[str, ...]) -> None:
    has = {name: value for name, value in KNOWN.items() if name not in lacking}
    before = read_ipv6(has)
    assert before is not None and before.settings.mode == "off" and before.addresses == ("fd00::1/64",)
    written = ipv6_parameters(settings, before)
    assert set(written) <= set(has)
    now = read_ipv6(has | written)
    assert now is not None and now.settings == settings


def test_firmware_without_them() -> None:
    assert read_ipv6({"Network.BootProto": "dhcp"}) is None
    before = read_ipv6({name: value for name, value in KNOWN.items() if "Router" not in name})
    assert before is not None
    with pytest.raises(Refused, match="router"):
        ipv6_parameters(IPv6Settings("static", "fd00::20/64", "fe80::1"), before)


# Devices


async def assign(site: Site, row: dict[str, Any]) -> TaskDetail:
    body = {"rows": [{"device": site.devices[0].serial} | row]}
    made = await site.caller.call("POST", "/devices/assignments", AssignPlan, body)
    assert made.task is not None, made.rows
    return await site.finished(made.task.id)


def kept(site: Site, name: str) -> str:
    return site.devices[0].parameters[f"Network.IPv6.{name}"]


@pytest.mark.parametrize("model", ["P3265-V", "M3024-L"])
async def test_beside_the_address_it_is_reached_by(model: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, model, address_change_timeout=15, **OVER4) as site:
        await site.manage()
        device = site.devices[0]
        row = {"ipv6": ADDRESS, "ipv6_router": "fe80::1", "address": "127.0.49.83/24", "dns": ["fd00::53"]}
        done = await assign(site, row)
        assert done.state is TaskState.SUCCEEDED, done.devices[0].detail
        assert (kept(site, "IPAddress"), kept(site, "DefaultRouter")) == (ADDRESS, "fe80::1")
        assert (kept(site, "Enabled"), kept(site, "AcceptRA"), kept(site, "DHCPv6")) == ("yes", "no", "off")
        assert site.edge.host.registry.get(device.serial).address == device.address == "127.0.49.83"
        steps = [one.step for one in done.devices[0].steps]
        assert steps.index("ipv6_done") < steps.index("set") < steps.index("ipv4_done")
        done = await assign(site, {"ipv6": "auto"})
        assert done.state is TaskState.SUCCEEDED and kept(site, "AcceptRA") == "yes"
        done = await assign(site, {"ipv6": "off"})
        assert done.state is TaskState.SUCCEEDED and kept(site, "Enabled") == "no"
        assert "already" in (await assign(site, {"ipv6": "off"})).devices[0].detail


@pytest.mark.parametrize("fault", ["refuses", "ignores"])
async def test_a_device_that_does_not_take_it_has_what_it_had(fault: str, tmp_path: Path) -> None:
    async with site_of(tmp_path, address_change_timeout=0.4, **OVER4) as site:
        await site.manage()
        before = {name: kept(site, name) for name in ("Enabled", "AcceptRA", "DHCPv6", "IPAddress")}
        getattr(site.devices[0].parameters.faults, fault).add("Network.IPv6.IPAddress")
        done = await assign(site, {"ipv6": ADDRESS})
        assert done.state is TaskState.FAILED, done.devices[0].detail
        assert {name: kept(site, name) for name in before} == before
        said = "refused" if fault == "refuses" else "put back"
        assert said in done.devices[0].detail


async def test_conflicts(tmp_path: Path) -> None:
    async with site_of(tmp_path, "P3265-V", count=2, **OVER4) as site:
        await site.manage()
        first, second = site.devices
        await site.edge.host.registry.update(second.serial, addresses=[second.address, "fd00:49::20"])
        for address, said in ((ADDRESS, second.serial), ("fd00:49::21/64", None)):
            row = {"device": first.serial, "ipv6": address}
            made = await site.caller.call(
                "POST", "/devices/assignments", AssignPlan, {"rows": [row], "check": True}
            )
            problem = made.rows[0].problem
            assert problem is None if said is None else said in (problem or "")


async def test_reached_over_ipv6(tmp_path: Path) -> None:
    async with site_of(tmp_path, **OVER6) as site:
        await site.manage()
        device = site.devices[0]
        row = {"rows": [{"device": device.serial, "ipv6": "off"}]}
        made = await site.caller.call("POST", "/devices/assignments", AssignPlan, row)
        assert made.task is None and "would be lost" in (made.rows[0].problem or "")
        done = await assign(site, {"ipv6": "auto"})
        assert done.state is TaskState.SUCCEEDED, done.devices[0].detail
        assert site.edge.host.registry.get(device.serial).address == "::1"
        # It is told another address and cannot be reached there: it gets back what it had.
        device.network.lands_at = "::1"
        done = await assign(site, {"ipv6": ADDRESS})
        assert done.state is TaskState.FAILED and "put back" in done.devices[0].detail
        assert (kept(site, "IPAddress"), kept(site, "AcceptRA")) == ("", "yes")
        assert site.edge.host.registry.get(device.serial).address == "::1"


class Resumed:
    """Work that was interrupted after the device was told."""

    def __init__(self, device: str, payload: dict[str, Any], memory: dict[str, Any] | None) -> None:
        self.device = device
        self.payload = payload
        self.memory = memory
        self.steps: list[str] = []

    async def checkpoint(self, memory: dict[str, Any], step: str, detail: str = "") -> None:
        self.memory = memory
        self.steps.append(step)


def change(site: Site) -> AddressChange[Any, Any]:
    async def search(_device: str) -> None:
        """Nothing is seen."""

    timing = Timing(poll=0.05, moved=5, settle=0.01)
    return AddressChange(IPv6(), site.edge.host.manager, search, occupied, timing)


async def test_followed_to_its_new_address_after_a_restart(tmp_path: Path) -> None:
    async with site_of(tmp_path, **OVER6) as site:
        await site.manage()
        device, registry = site.devices[0], site.edge.host.registry
        await registry.update(device.serial, address="fd00:49::1")
        device.parameters["Network.IPv6.Enabled"] = "yes"
        for name, value in (("AcceptRA", "no"), ("DHCPv6", "off"), ("IPAddress", "::1/128")):
            device.parameters[f"Network.IPv6.{name}"] = value
        memory = {"before": {"Enabled": "no"}, "old": "fd00:49::1", "until": time.time() - 5}
        work = Resumed(device.serial, {"ipv6": "::1/128"}, memory)
        site.edge.host.manager.hold(device.serial)
        outcome = await change(site)(work)
        await site.edge.host.manager.release(device.serial)
        assert outcome.state is WorkState.SUCCEEDED, outcome.detail
        assert registry.get(device.serial).address == "::1" and "set_ipv6" not in work.steps


async def test_what_was_done_before_a_restart_is_not_done_again(tmp_path: Path) -> None:
    async with site_of(tmp_path, **OVER4) as site:
        await site.manage()
        device, done = site.devices[0].serial, Outcome(WorkState.SUCCEEDED, "Moved.")

        async def ipv4(_work: Any) -> Outcome:
            return done

        payload = {"mode": "static", "ipv6": ADDRESS}
        work = Resumed(device, payload, {"ipv6": {"done": "It has it."}})
        site.edge.host.manager.hold(device)
        outcome = await AssignNetwork(site.edge.host.manager, ipv4, change(site))(work)  # type: ignore[arg-type]
        await site.edge.host.manager.release(device)
        assert outcome.detail in ("It has it. Moved.", "Moved. It has it.")
        assert kept(site, "IPAddress") == ""
