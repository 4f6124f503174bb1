"""The kind `apps`: installs, updates, starts, stops and removes apps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from farsite_edge.apps.folder import AppFolder
from farsite_edge.apps.package import app_version
from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.apps.compare import (
    AppFacts,
    compare,
    found_text,
    missing,
    needed,
    unlicensed,
    wants_start,
    wants_stop,
)
from farsite_edge.policies.apps.settings import AppState, WantedApp, validated
from farsite_edge.policies.kind import Finding, Settings, Step, Wanted
from farsite_edge.vapix.applications import ControlApplication, ListApplications, UploadApplication
from farsite_edge.vapix.errors import ApiMissing, Refused
from farsite_edge.vapix.services import GetAppSetting
from farsite_signaling.wire.apps_api import AppStatus, DeviceApp
from farsite_signaling.wire.edge_tasks import MAX_DEVICES, Rollout, UpdateWindow
from farsite_signaling.wire.policy_api import PolicyState, SettingInfo, SettingKind

APPS = "apps"
PARALLEL = 8
INSTALL_SECONDS = 600.0
START_TRIES = 10
START_PAUSE = 0.5


class AppsKind:
    """See `farsite_edge.policies.kind.Kind`. A finding is about one app."""

    name = APPS
    title = "Apps"
    exclusive = True
    secrets: tuple[str, ...] = ()

    def __init__(self, folder: AppFolder) -> None:
        self._folder = folder

    def describe(self) -> list[SettingInfo]:
        return [
            SettingInfo(
                name="apps",
                title="Apps",
                kind=SettingKind.LIST,
                about="NAME[@VERSION][:STATE], or objects with name, version (latest), state (running, stopped, any, "
                "absent) and downgrade",
                warning="an app that is removed by hand is installed again",
                sure="D",
            ),
            SettingInfo(
                name="window",
                title="Update window",
                kind=SettingKind.TEXT,
                about="such as 22:00-05:00 sat,sun in the site's time zone, or an object with start, end, days, "
                "time_zone; none: at any time",
            ),
        ]

    def recommended(self) -> Settings:
        return {}

    def validate(self, settings: Settings, secrets: Mapping[str, str]) -> Settings:
        return validated(settings)

    def rollout(self, settings: Settings) -> Rollout:
        window = UpdateWindow.model_validate(settings["window"]) if settings.get("window") else None
        return Rollout(parallel=PARALLEL, max_failures=MAX_DEVICES, window=window)

    async def warnings(self, settings: Settings) -> list[str]:
        return missing(_apps(settings), await self._folder.usable())

    async def read(self, access: DeviceAccess, wanted: Wanted) -> AppFacts:
        packages = tuple(await self._folder.usable())
        async with access.client() as client:
            try:
                installed = await _installed(client)
            except ApiMissing:
                await client.rights()
                return AppFacts(supported=False)
            info = await client.info()
            return AppFacts(
                supported=True,
                version=info.version or access.record.version,
                architecture=info.architecture or "",
                allow_unsigned=await _allow_unsigned(client),
                installed=installed,
                packages=packages,
            )

    def evaluate(self, wanted: Wanted, facts: AppFacts) -> list[Finding]:
        return compare(_apps(wanted.settings), facts)

    def plan(
        self, wanted: Wanted, facts: AppFacts, findings: Sequence[Finding], *, careful: bool
    ) -> list[Step]:
        off = {one.setting for one in findings if one.state is PolicyState.DEVIATING}
        return [_step(one, facts) for one in _apps(wanted.settings) if one.name in off]

    async def apply(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        """What is done already is not done again: this may be the second time."""
        name = step.settings[0]
        async with access.client() as client:
            app = (await _installed(client)).get(name.casefold())
            if step.values.get("remove"):
                if app is not None:
                    await client.send(ControlApplication("remove", app.name))
                return
            digest = step.values.get("package")
            if digest and not _has(app, step.values["version"]):
                await self._install(client, digest)
                app = (await _installed(client)).get(name.casefold())
            await _set_state(client, app, AppState(step.values["state"]))

    async def _install(self, client: Any, digest: str) -> None:
        package = await self._folder.by_digest(digest)
        request = UploadApplication(package.blocks, package.size)
        await client.send_slowly(request, timeout=INSTALL_SECONDS)

    async def verify(self, access: DeviceAccess, wanted: Wanted, step: Step) -> str | None:
        """An app takes a moment to start."""
        async with access.client() as client:
            for _ in range(START_TRIES):
                app = (await _installed(client)).get(step.settings[0].casefold())
                problem = _problem(app, step.values)
                if problem is None or app is None:
                    return problem
                await asyncio.sleep(START_PAUSE)
        return problem

    async def undo(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        """No step is risky: nothing is undone."""


def _apps(settings: Settings) -> list[WantedApp]:
    return [WantedApp.model_validate(one) for one in settings["apps"]]


def _step(wanted: WantedApp, facts: AppFacts) -> Step:
    have = facts.app(wanted.name)
    if wanted.state is AppState.ABSENT:
        values: dict[str, Any] = {"remove": True}
        title = f"Removes {wanted.name}."
    else:
        package = needed(wanted, facts)
        values = {"state": wanted.state.value}
        if package is not None:
            values |= {"package": package.digest, "version": package.facts.version}
            does = "Installs" if have is None else "Updates"
            title = f"{does} {wanted.name} {package.facts.version}."
        else:
            title = f"{'Starts' if wanted.state is AppState.RUNNING else 'Stops'} {wanted.name}."
    before = {"found": found_text(have)}
    return Step(
        name=wanted.name,
        title=title,
        settings=[wanted.name],
        values=values,
        before=before,
        seconds=INSTALL_SECONDS,
    )


def _has(app: DeviceApp | None, version: str) -> bool:
    return app is not None and app_version(app.version) == app_version(version)


async def _installed(client: Any) -> dict[str, DeviceApp]:
    return {one.name.casefold(): one for one in await client.send(ListApplications())}


async def _allow_unsigned(client: Any) -> bool | None:
    try:
        return bool(await client.send(GetAppSetting("AllowUnsigned")) == "true")
    except Refused:  # before 11.2, and from 13 on
        return None


async def _set_state(client: Any, app: DeviceApp | None, state: AppState) -> None:
    if app is None:
        raise Refused("The device does not list the app after its installation.")
    wanted = WantedApp(name=app.name, state=state)
    if wants_start(wanted, app):
        if reason := unlicensed(app):
            raise Refused(reason)
        await client.send(ControlApplication("start", app.name))
    elif wants_stop(wanted, app):
        await client.send(ControlApplication("stop", app.name))


def _problem(app: DeviceApp | None, values: Mapping[str, Any]) -> str | None:
    if values.get("remove"):
        return None if app is None else "It is still installed."
    if app is None:
        return "It is not installed."
    if (version := values.get("version")) and app_version(app.version) != app_version(version):
        return f"Version {app.version} is installed, not {version}."
    wanted = WantedApp(name=app.name, state=AppState(values["state"]))
    if wants_start(wanted, app):
        return unlicensed(app) or f"It does not start: it is {app.status.value}."
    return f"It does not stop: it is {AppStatus.RUNNING.value}." if wants_stop(wanted, app) else None
