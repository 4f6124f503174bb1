"""Licences where they count: a cloud that asks for them, an edge host, devices; from the trial to the end and back."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from farsite_client.session import RemoteSession, connect
from farsite_cloud.licences.authority import Made, init, issue, read_authority
from farsite_cloud.testing import run_cloud
from farsite_edge.simulator import Simulator
from farsite_edge.simulator.models import describe
from farsite_edge.testing import run_edge
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.licence import LicenceKind, LicenceState
from farsite_signaling.wire.licence_api import LicenceOverview
from farsite_signaling.wire.work_api import CampaignRequest

from .conftest import EDGE_NAME, World, sign_in

pytestmark = pytest.mark.timeout(400)
PARAMETER = "Network.Bonjour.FriendlyName"


@dataclass
class Licensed(World):
    authority: Made

    @property
    def org(self) -> str:
        return self.profile.load().organization_id

    def key(self, count: int, kind: LicenceKind = LicenceKind.DEVICE) -> str:
        now = datetime.now(UTC)
        private = read_authority(self.authority.key_file)
        last = now + timedelta(days=300)
        issued = issue(
            private,
            issuer="Ops",
            kind=kind,
            count=count,
            first=now,
            last=last,
            organization=self.org,
            now=now,
        )
        return issued[1]

    async def later(self, days: int) -> None:
        """So much time is over: what was, was so much earlier. Then the cloud looks, as it does all the time."""
        services = self.cloud.cloud.services
        async with services.database.writing() as session:
            for table, column in _TIMES.items():
                rows = (await session.execute(text(f"SELECT id, {column} FROM {table}"))).all()
                for key, value in rows:
                    earlier = datetime.fromisoformat(value) - timedelta(days=days)
                    change = text(f"UPDATE {table} SET {column} = :at WHERE id = :id")
                    await session.execute(change, {"at": f"{earlier:%Y-%m-%d %H:%M:%S.%f}", "id": key})
        services.licensing.forget(self.org)
        await services.licence_watch.run()

    async def until(self, state: LicenceState, device: int, universal: int) -> LicenceOverview:
        async with asyncio.timeout(90), self.profile.cloud() as cloud:
            while True:
                found = await cloud.licences(self.org)
                needed = {one.kind: one.needed for one in found.needs}
                if (found.state, needed) == (state, {"device": device, "universal": universal}):
                    return found
                await asyncio.sleep(0.05)

    async def edge_says(self, state: LicenceState) -> None:
        async with asyncio.timeout(90):
            while self.edge.host.licence.state is not state:
                await asyncio.sleep(0.02)

    async def cli(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and all that was said."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "farsite_client", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=environment | {"FARSITE_CLIENT_HOME": str(self.profile.home)},
        )  # fmt: skip
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


_TIMES = {"organizations": "created_at", "licence_records": "covered_at"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Licensed]:
    """Two Axis devices and one of another make."""
    authority = init(tmp_path / "authority.key", "ed25519")
    site = describe(3, ["M3024-L", "P3245-LVE", "P3265-V"])
    site[2] = replace(site[2], model=replace(site[2].model, brand="Acme"))
    async with (
        run_cloud(licensing="on", licence_keys=[str(authority.public_file)]) as cloud,
        Simulator(site, bind="127.0.0.1", https=False, multicast=False) as cameras,
        run_edge() as edge,
    ):
        profile = await sign_in(cloud, tmp_path / "client")
        await edge.claim(cloud.url, await cloud.setup_code(EDGE_NAME))
        await edge.wait_for("cloud_online", timeout=90)
        yield Licensed(cloud, edge, cameras, profile, authority)


async def test_from_the_trial_to_the_end_and_back(world: Licensed, tmp_path: Path) -> None:
    first, second, other = (camera.serial for camera in world.cameras.devices)
    async with connect(world.profile, EDGE_NAME) as session:
        addresses, ports = world.targets
        await session.edge.discover(addresses, ports=ports, multicast=False)
        await world.until(LicenceState.TRIAL, 0, 0)
        await _add(world, session, first)
        await world.until(LicenceState.TRIAL, 1, 0)
        await _add(world, session, other)
        await world.until(LicenceState.TRIAL, 1, 1)

        await world.later(31)
        found = await world.until(LicenceState.GRACE, 1, 1)
        assert found.changes_allowed and [one.missing for one in found.needs] == [1, 1]
        await world.edge_says(LicenceState.GRACE)
        await session.edge.change_parameters(first, {PARAMETER: "in the grace"})

        await world.later(31)
        await world.until(LicenceState.EXPIRED, 1, 1)
        await world.edge_says(LicenceState.EXPIRED)
        await _nothing_changes(world, session, first, second)
        await _all_is_seen(world, session, first)

        file = tmp_path / "licence.txt"
        file.write_text(world.key(1) + "\n")
        assert (await world.cli("licences", "redeem", "--file", str(file)))[0] == 0
        await world.until(LicenceState.EXPIRED, 1, 1)
        async with world.profile.cloud() as cloud:
            repaired = await cloud.redeem_licence(world.org, world.key(1, LicenceKind.UNIVERSAL))
        assert (repaired.state, repaired.changes_allowed) == (LicenceState.LICENSED, True)
        await world.edge_says(LicenceState.LICENSED)
        await session.edge.change_parameters(first, {PARAMETER: "licensed"})
        assert (await session.edge.parameters(first, "Network.Bonjour"))[PARAMETER] == "licensed"

        # One more than there are licences for, and one less: both are known at once.
        await _add(world, session, second)
        await world.until(LicenceState.GRACE, 2, 1)
        async with world.profile.cloud() as cloud:
            [allocation] = await cloud.licence_allocations(world.org)
        assert (allocation.needed, allocation.missing) == ({"device": 2, "universal": 1}, 1)
        await session.edge.remove([second])
        await world.until(LicenceState.LICENSED, 1, 1)


async def _add(world: World, session: RemoteSession, serial: str) -> None:
    camera = world.cameras.devices[0]
    await session.edge.add([serial])
    [result] = await session.edge.log_in([serial], camera.username, camera.password)
    assert result.ok, result.detail


async def _nothing_changes(world: Licensed, session: RemoteSession, managed: str, new: str) -> None:
    """Through the tunnel, by work over the organization, and on the command line."""
    for change in (session.edge.add([new]), session.edge.change_parameters(managed, {PARAMETER: "x"})):
        with pytest.raises(FarsiteError, match="Redeem a licence") as refused:
            await change
        assert refused.value.code is ErrorCode.LICENCE_EXPIRED
    campaign: dict[str, Any] = {"kind": "os.upgrade", "parameters": {"version": "12.10.1"}}
    async with world.profile.cloud() as cloud:
        with pytest.raises(FarsiteError) as refused:
            body = CampaignRequest.model_validate(campaign | {"selection": {"devices": [managed]}})
            await cloud.start_campaign(world.org, body)
    assert refused.value.code is ErrorCode.LICENCE_EXPIRED
    code, said = await world.cli("device", "add", EDGE_NAME, new)
    assert code == 1 and "[licence_expired]" in said and "farsite licences redeem" in said


async def _all_is_seen(world: Licensed, session: RemoteSession, managed: str) -> None:
    assert managed in [device.id for device in await session.edge.devices(managed=True)]
    assert (await session.edge.parameters(managed, "Network.Bonjour"))[PARAMETER] == "in the grace"
    assert (await session.edge.snapshot(managed)).startswith(b"\xff\xd8")
    async with world.profile.cloud() as cloud:
        assert managed in [device.serial async for device in cloud.devices(world.org)]
