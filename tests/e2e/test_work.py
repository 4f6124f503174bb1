"""Campaigns from the cloud to real edge hosts and back, through disconnections and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from farsite_cloud.testing import RunningCloud, run_cloud
from farsite_edge.devices.credentials import Account
from farsite_edge.discovery import FoundDevice
from farsite_edge.simulator import SimulatedDevice, Simulator
from farsite_edge.simulator.faults import Fault
from farsite_edge.simulator.image import make_image
from farsite_edge.simulator.models import describe
from farsite_edge.testing import RunningEdge, run_edge

MODEL, OLD, NEW = "P3265-V", "12.9.57", "12.10.1"


@dataclass
class Site:
    """One edge host with a device, which can be killed and started again in the same folder."""

    folder: Path
    name: str
    simulator: Simulator
    edge: RunningEdge = field(init=False)
    edge_id: str = ""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def device(self) -> SimulatedDevice:
        return self.simulator.devices[0]

    async def start(self) -> None:
        self.edge = await self._stack.enter_async_context(
            run_edge(
                self.folder,
                name=self.name,
                os_poll_interval=0.05,
                os_restart_timeout=9,
                poll_interval=3600,
                discovery_interval=3600,
                os_images=self.folder.parent / "images",
            )
        )

    async def crash(self) -> None:
        """As kill -9: not a byte reaches the store after this."""
        await self.edge.host.core.database.close()
        await self._stack.aclose()

    async def stop(self) -> None:
        await self._stack.aclose()

    async def manage(self) -> None:
        host = self.edge.host
        await host.registry.found(
            [FoundDevice(one.serial, one.address, one.http_port) for one in self.simulator.devices]
        )
        await host.manager.add([one.serial for one in self.simulator.devices])
        for one in self.simulator.devices:
            results = await host.manager.log_in([one.serial], Account(one.username, one.password))
            assert results[0].ok, results[0].detail

    @property
    def tasks(self) -> int:
        return len(self.edge.host.tasks._active)


@dataclass
class World:
    cloud: RunningCloud
    sites: list[Site]
    token: str
    org: str

    async def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        path = path.replace("~", f"/organizations/{self.org}")
        return await self.cloud.request(method, path, body, token=self.token)

    async def upgrade(self, **values: Any) -> str:
        body = {"kind": "os.upgrade", "parameters": {"version": NEW}, "selection": {"models": [MODEL]}}
        return str((await self.ask("POST", "~/campaigns", body | values))["id"])

    async def until(self, campaign: str, wanted: Any, timeout: float = 40) -> dict[str, Any]:
        """`wanted` is a state, or a test of the campaign."""
        test = wanted if callable(wanted) else lambda shown: shown["state"] == wanted
        shown: dict[str, Any] = {}
        try:
            async with asyncio.timeout(timeout):
                while not test(shown := await self.ask("GET", f"~/campaigns/{campaign}")):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            orders = await self.orders(campaign)
            raise AssertionError(f"{shown}\n{orders}\n{await self.devices(campaign)}") from None
        return shown

    async def orders(self, campaign: str) -> list[dict[str, Any]]:
        return list((await self.ask("GET", f"~/campaigns/{campaign}/orders"))["orders"])

    async def steps(self, campaign: str) -> list[dict[str, Any]]:
        shown = [
            await self.ask("GET", f"~/campaigns/{campaign}/orders/{one['id']}/steps")
            for one in await self.orders(campaign)
        ]
        return [step for page in shown for step in page["steps"]]

    async def devices(self, campaign: str) -> list[dict[str, Any]]:
        return list((await self.ask("GET", f"~/campaigns/{campaign}/devices"))["devices"])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images" / "one.bin", (MODEL,), NEW)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(run_cloud())
        token = await cloud.sign_in()
        world = World(cloud, [], token, await cloud.organization_id(token))
        described = [replace(one, boot_seconds=0.3, install_seconds=0.1) for one in describe(2, [MODEL])]
        for number, one in enumerate(described):
            simulator = await stack.enter_async_context(Simulator([one], https=False))
            site = Site(tmp_path / f"edge{number}", f"Site {number}", simulator)
            await site.start()
            stack.push_async_callback(site.stop)
            await site.edge.claim(cloud.url, await cloud.setup_code(site.name, token))
            await site.edge.wait_for("cloud_online")
            await site.manage()
            site.edge_id = site.edge.host.keeper.edge_id
            world.sites.append(site)
        yield world


async def test_an_upgrade_of_a_model_over_all_sites(world: World) -> None:
    campaign = await world.upgrade()
    shown = await world.until(campaign, "succeeded")
    assert shown["orders"]["succeeded"] == 2 and shown["devices"]["succeeded"] == 2
    assert [site.device.version for site in world.sites] == [NEW, NEW]
    devices = await world.devices(campaign)
    assert {one["device"] for one in devices} == {site.device.serial for site in world.sites}
    assert {one["state"] for one in devices} == {"succeeded"}
    for order in await world.orders(campaign):
        steps = (await world.ask("GET", f"~/campaigns/{campaign}/orders/{order['id']}/steps"))["steps"]
        site = next(site for site in world.sites if site.edge_id == order["edge_host_id"])
        kept = await site.edge.host.tasks.store.steps(order["task"])
        # Every step, once, in order.
        assert [(one["step"], one["detail"]) for one in steps] == [(one.step, one.detail) for one in kept]
        assert [site.device.firmware.installs] == [[NEW]]
        audit = (await site.edge.host.audit.page(None, 50))[0]
        assert any(
            row.action == "work.run" and row.details["email"] == world.cloud.owner_email for row in audit
        )


async def test_a_last_step_and_what_became_of_the_device_are_told_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = world.sites[0]
    store, told = site.edge.host.tasks.store, asyncio.Event()
    finish = store.finish

    async def slow(row: Any, outcome: Any) -> None:
        await finish(row, outcome)
        await told.wait()

    monkeypatch.setattr(store, "finish", slow)
    campaign = await world.upgrade(edge_hosts=[site.edge_id])
    async with asyncio.timeout(60):
        while not any(one["step"] == "succeeded" for one in await world.steps(campaign)):
            await asyncio.sleep(0.05)
    told.set()
    await world.until(campaign, "succeeded")
    assert [one["state"] for one in await world.devices(campaign)] == ["succeeded"]


async def test_an_edge_host_that_is_away_gets_its_order_when_it_is_back(world: World) -> None:
    away = world.sites[1]
    await away.stop()
    await world.cloud.request("GET", "/organizations", token=world.token)
    campaign = await world.upgrade()
    shown = await world.until(
        campaign, lambda one: one["orders"]["succeeded"] == 1 and one["orders"]["offline_waiting"] == 1
    )
    assert shown["state"] == "running"
    waiting = next(one for one in await world.orders(campaign) if one["state"] == "offline_waiting")
    assert "waits until" in waiting["detail"]
    await away.start()
    await world.until(campaign, "succeeded")
    assert away.device.firmware.installs == [NEW]


async def test_killed_while_it_works_the_result_still_arrives_once(world: World) -> None:
    site = world.sites[0]
    site.device.upload_gate = asyncio.Event()
    campaign = await world.upgrade(edge_hosts=[site.edge_id])
    await site.device.uploading.wait()
    await site.crash()
    site.device.upload_gate.set()
    await site.start()
    await world.until(campaign, "succeeded")
    assert site.device.firmware.installs == [NEW]
    [order] = await world.orders(campaign)
    kept = await site.edge.host.tasks.store.steps(order["task"])
    steps = (await world.ask("GET", f"~/campaigns/{campaign}/orders/{order['id']}/steps"))["steps"]
    assert [one["step"] for one in steps] == [one.step for one in kept]


async def test_the_hub_restarts_in_the_middle(world: World) -> None:
    site = world.sites[0]
    site.device.upload_gate = asyncio.Event()
    campaign = await world.upgrade(edge_hosts=[site.edge_id])
    await site.device.uploading.wait()
    urn = site.edge.host.keeper.identity.urn
    await world.cloud.cloud.hub.disconnect(urn, "unavailable", "Again, please.", retry=True)  # type: ignore[arg-type]
    site.device.upload_gate.set()
    await world.until(campaign, "succeeded")
    assert site.device.firmware.installs == [NEW]


async def test_pause_holds_what_has_not_begun_and_resume_goes_on(world: World) -> None:
    first, second = world.sites
    first.device.upload_gate = asyncio.Event()
    campaign = await world.upgrade(rollout={"parallel": 1})
    await first.device.uploading.wait()
    await world.ask("POST", f"~/campaigns/{campaign}/pause")
    await world.until(campaign, lambda one: one["orders"]["held"] == 2)
    first.device.upload_gate.set()
    await world.until(campaign, lambda one: one["orders"]["succeeded"] == 1)
    assert second.device.version == OLD
    await world.ask("POST", f"~/campaigns/{campaign}/resume", {})
    await world.until(campaign, "succeeded")
    assert second.device.version == NEW


async def test_cancel_and_try_again(world: World) -> None:
    first, second = world.sites
    first.device.upload_gate = asyncio.Event()
    campaign = await world.upgrade(rollout={"parallel": 1})
    await first.device.uploading.wait()
    await world.ask("POST", f"~/campaigns/{campaign}/cancel")
    await world.until(campaign, lambda one: one["orders"]["cancelled"] >= 1)
    first.device.upload_gate.set()
    await world.until(campaign, "cancelled")
    assert second.device.version == OLD
    again = await world.ask("POST", f"~/campaigns/{campaign}/retry", {})
    await world.until(again["id"], "succeeded")
    assert [site.device.version for site in world.sites] == [NEW, NEW]
    assert again["retry_of"] == campaign


async def test_a_failure_stops_the_rollout_and_it_can_go_on(world: World) -> None:
    first, second = world.sites
    first.device.fault = Fault.GARBAGE
    campaign = await world.upgrade(rollout={"stages": [50, 100], "max_failures": 1})
    shown = await world.until(campaign, "stopped")
    assert "1 devices failed, the limit is 1" in shown["detail"]
    assert second.device.version == OLD
    [failed] = await world.devices(campaign)
    assert failed["state"] == "failed" and failed["code"]
    await world.ask("POST", f"~/campaigns/{campaign}/resume", {"max_failures": 5})
    shown = await world.until(campaign, "failed")
    assert shown["orders"]["succeeded"] == 1 and second.device.version == NEW


async def test_a_site_whose_remote_access_is_off_takes_no_orders(world: World) -> None:
    site = world.sites[0]
    await site.edge.set_remote_access(False)
    edges = f"~/edge-hosts/{site.edge_id}"
    async with asyncio.timeout(10):
        while (await world.ask("GET", edges))["remote_access"] is not False:
            await asyncio.sleep(0.05)
    campaign = await world.upgrade(edge_hosts=[site.edge_id])
    await world.until(campaign, lambda one: one["orders"]["offline_waiting"] == 1)
    assert site.tasks == 0
    await site.edge.set_remote_access(True)
    await world.until(campaign, "succeeded")


async def test_what_no_device_is_meant_by_is_done_at_once(world: World) -> None:
    campaign = await world.upgrade(selection={"models": ["M9999"]})
    shown = await world.until(campaign, "succeeded")
    assert shown["devices"]["succeeded"] == 0
    assert "No device" in (await world.orders(campaign))[0]["detail"]


async def test_a_policy_template_on_every_site_and_its_next_version(world: World) -> None:
    name = "Network.UPnP.Enabled"
    settings = {"upnp": False}
    template = await world.ask(
        "POST", "~/policy-templates", {"name": "Branch", "kind": "security", "settings": settings}
    )
    body = {"kind": "policy.apply", "parameters": {"template": template["id"]}}
    campaign = str((await world.ask("POST", "~/campaigns", body))["id"])
    shown = await world.until(campaign, "succeeded")
    assert shown["devices"]["succeeded"] == 2, await world.devices(campaign)
    for site in world.sites:
        [policy] = site.edge.host.policies.store.all()
        assert (policy.name, policy.settings, policy.template) == ("Branch", settings, template["id"])
        assert site.device.parameters[name] == "no"
    path = f"~/policy-templates/{template['id']}"
    await world.ask("PATCH", path, {"settings": {"upnp": True}})
    again = str((await world.ask("POST", "~/campaigns", body))["id"])
    await world.until(again, "succeeded")
    for site in world.sites:
        [policy] = site.edge.host.policies.store.all()
        assert policy.settings == {"upnp": True} and policy.revision == 2
        assert site.device.parameters[name] == "yes"
