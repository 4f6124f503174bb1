"""What a device has, and may have, compared with what an apps policy wants; free of I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from farsite_edge.apps.folder import PackageFile
from farsite_edge.apps.package import ANY_ARCHITECTURE, app_version
from farsite_edge.policies.apps.settings import LATEST, AppState, WantedApp
from farsite_edge.policies.kind import Finding
from farsite_signaling.wire.apps_api import AppStatus, DeviceApp
from farsite_signaling.wire.os_versions import parse
from farsite_signaling.wire.policy_api import PolicyState

SIGNED_ONLY = (13,)
"""From AXIS OS 13 on unsigned apps are refused, and nothing tells so."""
_RUNS = (AppStatus.RUNNING, AppStatus.IDLE)
_LATER = "Once there is one, it is installed at the next check."
_NO_LICENSE = ("missing", "invalid")


@dataclass(frozen=True)
class AppFacts:
    """`supported`: the device has apps at all. `allow_unsigned` none: it does not say."""

    supported: bool
    version: str = ""
    architecture: str = ""
    allow_unsigned: bool | None = None
    installed: dict[str, DeviceApp] = field(default_factory=dict)
    packages: tuple[PackageFile, ...] = ()

    def app(self, name: str) -> DeviceApp | None:
        return self.installed.get(name.casefold())


class NoPackage(Exception):
    """Why there is no package to install."""


def compare(wanted: Sequence[WantedApp], facts: AppFacts) -> list[Finding]:
    return [_compared(one, facts) for one in wanted]


def _compared(wanted: WantedApp, facts: AppFacts) -> Finding:
    have = facts.app(wanted.name)
    shown = Finding(wanted.name, PolicyState.COMPLIANT, _wanted(wanted), found_text(have))
    if not facts.supported:
        return replace(shown, state=PolicyState.NOT_SUPPORTED, detail="The device takes no apps.")
    if wanted.state is AppState.ABSENT:
        return _absent(have, shown)
    try:
        package = needed(wanted, facts)
    except NoPackage as reason:
        return replace(shown, state=PolicyState.FAILED, detail=str(reason))
    if package is not None:
        detail = f"To be installed: {package.facts.version} ({package.path.name})."
        return replace(shown, state=PolicyState.DEVIATING, detail=detail)
    assert have is not None
    return _state(wanted, have, shown)


def _absent(have: DeviceApp | None, shown: Finding) -> Finding:
    if have is None:
        return shown
    if have.bundled:
        detail = "It is part of AXIS OS and cannot be removed; it can be stopped."
        return replace(shown, state=PolicyState.FAILED, detail=detail)
    return replace(shown, state=PolicyState.DEVIATING, detail="To be removed.")


def _state(wanted: WantedApp, have: DeviceApp, shown: Finding) -> Finding:
    off = wants_start(wanted, have) or wants_stop(wanted, have)
    if wants_start(wanted, have) and (reason := unlicensed(have)):
        return replace(shown, state=PolicyState.FAILED, detail=reason)
    return replace(shown, state=PolicyState.DEVIATING if off else PolicyState.COMPLIANT)


def unlicensed(have: DeviceApp) -> str | None:
    """Why it cannot be started."""
    if have.license.lower() not in _NO_LICENSE:
        return None
    return (
        f"Its licence is {have.license.lower()}: install one (farsite apps EDGE license), then it is started."
    )


def wants_start(wanted: WantedApp, have: DeviceApp) -> bool:
    return wanted.state is AppState.RUNNING and have.status not in _RUNS


def wants_stop(wanted: WantedApp, have: DeviceApp) -> bool:
    return wanted.state is AppState.STOPPED and have.status is not AppStatus.STOPPED


def needed(wanted: WantedApp, facts: AppFacts) -> PackageFile | None:
    """The package to install; `None` when the one installed is right. Raises `NoPackage`."""
    have = facts.app(wanted.name)
    if wanted.version != LATEST:
        if have is not None and app_version(have.version) == app_version(wanted.version):
            return None
        if (
            have is not None
            and app_version(have.version) > app_version(wanted.version)
            and not wanted.downgrade
        ):
            raise NoPackage(f"{have.version} is installed, which is newer; say downgrade to go back.")
    try:
        best = _best(wanted, facts)
    except NoPackage:
        if have is not None and wanted.version == LATEST:
            return None  # nothing newer for it
        raise
    if (
        have is not None
        and wanted.version == LATEST
        and app_version(best.facts.version) <= app_version(have.version)
    ):
        return None
    if have is not None and have.bundled:
        raise NoPackage("It is part of AXIS OS and follows it; its version is not changed.")
    return best


def _best(wanted: WantedApp, facts: AppFacts) -> PackageFile:
    """The newest that fits. Narrowed down step by step, so that the reason is the first thing that does not fit."""
    left = _for_architecture(_in_folder(wanted, facts.packages), facts)
    left = _for_version(left, facts)
    left = _signed(left, facts)
    return max(left, key=lambda one: (app_version(one.facts.version), one.facts.signed))


def _in_folder(wanted: WantedApp, packages: Sequence[PackageFile]) -> list[PackageFile]:
    left = [one for one in packages if one.facts.name.casefold() == wanted.name.casefold()]
    if not left:
        raise NoPackage(f"There is no package of it in the app folder. {_LATER}")
    if wanted.version != LATEST:
        left = [one for one in left if app_version(one.facts.version) == app_version(wanted.version)]
        if not left:
            raise NoPackage(f"There is no package of version {wanted.version} in the app folder. {_LATER}")
    return left


def missing(apps: Sequence[WantedApp], packages: Sequence[PackageFile]) -> list[str]:
    """Of which apps no device can get a package, and why."""
    found = []
    for one in apps:
        try:
            if one.state is not AppState.ABSENT:
                _in_folder(one, packages)
        except NoPackage as reason:
            found.append(f"{one.name}: {reason}")
    return found


def _for_architecture(packages: list[PackageFile], facts: AppFacts) -> list[PackageFile]:
    fits = [
        one
        for one in packages
        if one.facts.architecture.lower() in ANY_ARCHITECTURE | {facts.architecture.lower()}
    ]
    if not fits:
        there = ", ".join(sorted({one.facts.architecture for one in packages}))
        raise NoPackage(
            f"The app is for {there}; the device is {facts.architecture or 'of an unknown architecture'}."
        )
    return fits


def _for_version(packages: list[PackageFile], facts: AppFacts) -> list[PackageFile]:
    own = parse(facts.version)
    new_enough = [one for one in packages if not one.facts.requires or parse(one.facts.requires) <= own]
    if not new_enough:
        least = min((one.facts.requires for one in packages), key=parse)
        raise NoPackage(f"The app needs AXIS OS {least} or newer; the device has {facts.version}.")
    fits = [one for one in new_enough if not one.facts.until or own <= parse(one.facts.until)]
    if not fits:
        most = max((one.facts.until for one in new_enough), key=parse)
        raise NoPackage(f"The app is for AXIS OS up to {most}; the device has {facts.version}.")
    return fits


def _signed(packages: list[PackageFile], facts: AppFacts) -> list[PackageFile]:
    signed_only = facts.allow_unsigned is False or parse(facts.version) >= SIGNED_ONLY
    fits = [one for one in packages if one.facts.signed or not signed_only]
    if not fits:
        raise NoPackage(
            "The package is not signed, and the device takes signed apps only. Get a signed one from its vendor, or "
            "allow unsigned apps on the device (security policy)."
        )
    return fits


def _wanted(wanted: WantedApp) -> str:
    if wanted.state is AppState.ABSENT:
        return "absent"
    state = "" if wanted.state is AppState.ANY else f", {wanted.state.value}"
    return f"{wanted.version}{state}"


def found_text(app: DeviceApp | None) -> str:
    if app is None:
        return "not installed"
    no_license = f", licence {app.license.lower()}" if app.license.lower() in _NO_LICENSE else ""
    return f"{app.version}, {app.status.value}{no_license}"
