"""The whole demo: start the parts, claim the site, act as the remote client, stay up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from farsite_client.cloud import CloudClient
from farsite_client.demo.options import DemoOptions, NatKind
from farsite_client.demo.place import OWNER, PASSWORD, Place
from farsite_client.demo.processes import Part
from farsite_client.demo.report import Report
from farsite_client.demo.scenario import Scenario, first_with_video
from farsite_client.profile import Profile
from farsite_client.runtime import way
from farsite_client.session import connect

EDGE_NAME = "Demo site"
START_SECONDS = 120.0


@dataclass(frozen=True)
class Stage:
    """What runs and how to reach it."""

    place: Place
    profile: Profile
    cloud_url: str
    relay: bool
    cameras: list[dict[str, Any]]

    @property
    def with_video(self) -> dict[str, Any]:
        return first_with_video(self.cameras)


@asynccontextmanager
async def perform(options: DemoOptions, report: Report) -> AsyncIterator[Stage]:
    """Everything the demo shows; the parts run until the context is left. Raises `FarsiteError`."""
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(_place(options))
        stage = await _start(stack, place, report)
        with place.as_client():
            await _manage(stage, options, report)
            yield stage


@asynccontextmanager
async def _place(options: DemoOptions) -> AsyncIterator[Place]:
    if options.nat is NatKind.NONE:
        yield Place(options.folder, options.cameras)
        return
    from farsite_client.demo.nat import behind_nats

    async with behind_nats(options.folder, options.cameras) as place:
        yield place


async def _start(stack: AsyncExitStack, place: Place, report: Report) -> Stage:
    with report.step("start cloud, edge host and cameras") as step:
        parts = [place.cloud(), place.site_cameras(), place.edge_host()]
        cloud, cameras, edge = [await stack.enter_async_context(part) for part in parts]
        ready, devices, _ = await asyncio.gather(
            *(part.event("ready", START_SECONDS) for part in (cloud, cameras, edge))
        )
        relay = bool(ready.get("turn", {}).get("running"))
        step.note = "with coturn" if relay else "without coturn: no relay"
    with report.step("sign in as the owner"):
        profile = Profile(place.client_home)
        with place.as_client():
            await _sign_in(profile, ready["url"])
    await _claim(place, edge, profile, ready["url"], report)
    return Stage(place, profile, ready["url"], relay, devices["devices"])


async def _sign_in(profile: Profile, url: str) -> None:
    async with CloudClient(url) as cloud:
        signed_in = await cloud.sign_in(OWNER, PASSWORD)
        cloud.token = signed_in.token
        organization = (await cloud.organizations())[0]
        await profile.enrol(cloud, signed_in, organization, None)


async def _claim(place: Place, edge: Part, profile: Profile, url: str, report: Report) -> None:
    with report.step("claim the edge host by setup code") as step:
        with place.as_client():
            stored = profile.load()
            async with profile.cloud(stored) as cloud:
                code = await cloud.setup_code(stored.organization_id, EDGE_NAME)
        await _edge_command(place, "claim", code.code, "--cloud", url)
        await edge.event("cloud_online")
        step.note = EDGE_NAME
    with report.step("switch remote access on"):
        await _edge_command(place, "settings", "--remote-access", "on")


async def _edge_command(place: Place, *arguments: str) -> None:
    async with place.edge_command(*arguments) as command:
        await command.success()


async def _manage(stage: Stage, options: DemoOptions, report: Report) -> None:
    async with AsyncExitStack() as stack:
        with report.step("open a session") as step:
            session = await stack.enter_async_context(connect(stage.profile, EDGE_NAME))
            status = session.status()
            report.path, report.reason = status.path.value, status.reason
            report.path, report.reason = status.path.value, status.reason
            step.note = f"path {way(status)}"
        await Scenario(session, report, stage.cameras).run(options.folder, options.transfer)
