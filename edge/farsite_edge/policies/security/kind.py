"""The kind `security`: the settings of a hardened device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.kind import Finding, Settings, Step, Wanted
from farsite_edge.policies.security import address_filter, https_only, password, places
from farsite_edge.policies.security.catalogue import CATALOGUE, Entry
from farsite_edge.policies.security.compare import compare, strong, syslog_found, targets
from farsite_edge.policies.security.facts import BLOCK_SECONDS, CIPHERS, Facts, read
from farsite_edge.policies.security.settings import RECOMMENDED, validated
from farsite_signaling.wire.edge_tasks import MAX_DEVICES, Rollout
from farsite_signaling.wire.policy_api import PolicyState, SettingInfo, SettingKind

SECURITY = "security"
PARALLEL = 16


class SecurityKind:
    """See `farsite_edge.policies.kind.Kind`."""

    name = SECURITY
    title = "Basic security"
    exclusive = True
    secrets = ("root_password",)

    def describe(self) -> list[SettingInfo]:
        return [_info(entry) for entry in CATALOGUE.values()]

    def recommended(self) -> Settings:
        return dict(RECOMMENDED)

    def validate(self, settings: Settings, secrets: Mapping[str, str]) -> Settings:
        return validated(settings, secrets)

    def rollout(self, settings: Settings) -> Rollout:
        # What one device refuses says nothing about the next: all are tried.
        return Rollout(parallel=PARALLEL, max_failures=MAX_DEVICES)

    async def warnings(self, settings: Settings) -> list[str]:
        return []

    async def read(self, access: DeviceAccess, wanted: Wanted) -> Facts:
        return await read(access, wanted)

    def evaluate(self, wanted: Wanted, facts: Facts) -> list[Finding]:
        return compare(wanted, facts)

    def plan(self, wanted: Wanted, facts: Facts, findings: Sequence[Finding], *, careful: bool) -> list[Step]:
        off = [CATALOGUE[one.setting] for one in findings if one.state is PolicyState.DEVIATING]
        steps: list[Step] = []
        for _, entries in groupby(sorted(off, key=lambda entry: entry.order), lambda entry: entry.order):
            steps += _steps(list(entries), wanted, facts, careful=careful)
        return steps

    async def apply(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        match step.name:
            case "root_password":
                await password.change(access, wanted.secrets["root_password"])
            case "allowed_addresses":
                await address_filter.apply(access, step)
            case "https_only":
                await https_only.apply(access, step)
            case _:
                await places.write(access, step.values)

    async def verify(self, access: DeviceAccess, wanted: Wanted, step: Step) -> str | None:
        match step.name:
            case "root_password":
                return await password.check(access, wanted.secrets["root_password"])
            case "allowed_addresses":
                return await address_filter.verify(access, step)
        return await places.differs(access, step.values)

    async def undo(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        match step.name:
            case "root_password":
                await password.settle(access)
            case "allowed_addresses":
                await address_filter.undo(access, step)
            case _:
                await places.write(access, step.before)


def _steps(entries: list[Entry], wanted: Wanted, facts: Facts, *, careful: bool) -> list[Step]:
    """Of one order: the safe ones in one step, each risky one in its own."""
    alone = [[entry] for entry in entries if careful or entry.risky]
    together = [entry for entry in entries if not careful and not entry.risky]
    return [_step(group, wanted, facts) for group in [*([together] if together else []), *alone]]


def _step(entries: list[Entry], wanted: Wanted, facts: Facts) -> Step:
    values: dict[str, Any] = {}
    before: dict[str, Any] = {}
    for entry in entries:
        new, old = _change(entry, wanted.settings[entry.name], facts)
        values |= new
        before |= old
    titles = ", ".join(entry.title for entry in entries)
    return Step(
        name=entries[0].name,
        title=f"Sets {titles}."[:400],
        settings=[entry.name for entry in entries],
        values=values,
        before=before,
        risky=any(entry.risky for entry in entries),
        recovers=address_filter.recovers(values),
    )


def _change(entry: Entry, value: Any, facts: Facts) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to write, and what was there."""
    match entry.name:
        case "root_password":
            return {}, {}
        case "allowed_addresses":
            return address_filter.step_for(facts, sorted(value))
        case "syslog":
            shown = f"{value['protocol']} {value['address']}:{value['port']}"
            return {places.SYSLOG: shown}, {places.SYSLOG: syslog_found(facts) or ""}
        case "brute_force_block_seconds":
            wanted = {f"param:{BLOCK_SECONDS}": str(value)}
        case "strong_ciphers":
            wanted = {f"param:{CIPHERS}": ":".join(strong(facts.param(CIPHERS) or ""))}
        case _:
            wanted = targets(entry, value, facts)
    changed = {_path(place, facts): text for place, text in wanted.items() if facts.values[place] != text}
    return changed, {_path(place, facts): facts.values[place] for place in wanted}


def _path(place: str, facts: Facts) -> str:
    """A REST place with the path of its API on this device."""
    if not place.startswith("rest:"):
        return place
    api, _, rest = place.removeprefix("rest:").partition("#")
    return f"rest:{facts.paths[api]}#{rest}"


def _info(entry: Entry) -> SettingInfo:
    return SettingInfo(
        name=entry.name,
        title=entry.title,
        group=entry.group,
        kind=entry.kind,
        choices=[word for word in entry.values if entry.kind is SettingKind.CHOICE],
        recommended=RECOMMENDED.get(entry.name),
        weight=entry.weight,
        about=entry.about,
        warning=entry.warning,
        sure=entry.sure,
    )
