"""A whole Farsite in one process: cloud, a claimed edge host, simulated cameras, a signed-in client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farsite_client.cloud import CloudClient
from farsite_client.profile import Profile
from farsite_cloud.testing import RunningCloud, run_cloud
from farsite_edge.simulator import Simulator
from farsite_edge.simulator.models import describe
from farsite_edge.testing import RunningEdge, run_edge

EDGE_NAME = "Warehouse"


@dataclass
class World:
    cloud: RunningCloud
    edge: RunningEdge
    cameras: Simulator
    profile: Profile

    @property
    def serials(self) -> list[str]:
        return sorted(camera.serial for camera in self.cameras.devices)

    @property
    def targets(self) -> tuple[list[str], list[int]]:
        """Addresses and ports to probe: these tests do not depend on multicast."""
        devices = self.cameras.devices
        return sorted({d.address for d in devices}), sorted({d.http_port for d in devices})


async def sign_in(cloud: RunningCloud, home: Path, *, ca_file: str | None = None) -> Profile:
    profile = Profile(home, ca_file=ca_file)
    async with CloudClient(cloud.url, ca_file=ca_file) as client:
        signed_in = await client.sign_in(cloud.owner_email, cloud.owner_password)
        client.token = signed_in.token
        organization = (await client.organizations())[0]
        await profile.enrol(client, signed_in, organization, "test machine")
    return profile


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    site = describe(3, ["M3024-L", "P3245-LVE", "P3265-V"])
    async with (
        run_cloud() as cloud,
        Simulator(site, bind="127.0.0.1", https=False, multicast=False) as cameras,
        run_edge() as edge,
    ):
        profile = await sign_in(cloud, tmp_path / "client")
        await edge.claim(cloud.url, await cloud.setup_code(EDGE_NAME))
        await edge.wait_for("cloud_online")
        yield World(cloud, edge, cameras, profile)
