"""The kind `time`: time servers, time zone, and whether the clock is right."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.clock.settings import DHCP, posix_zone, validated
from farsite_edge.policies.kind import Finding, Settings, Step, Wanted
from farsite_edge.vapix.errors import ApiMissing
from farsite_edge.vapix.time import (
    DeviceTime,
    GetNtp,
    GetTime,
    NtpClient,
    SetNtp,
    SetPosixTimeZone,
    SetTime,
    SetTimeZone,
)
from farsite_signaling.wire.edge_tasks import MAX_DEVICES, Rollout
from farsite_signaling.wire.policy_api import PolicyState, SettingInfo, SettingKind

TIME = "time"
PARALLEL = 16
SERVERS, ZONE, CLOCK = "servers", "time_zone", "clock"
POSIX_PARAMETER, SERVER_PARAMETER = "Time.POSIXTimeZone", "Time.NTP.Server"


@dataclass
class TimeFacts:
    """`offset`: seconds the device's clock is ahead of ours; none: it does not tell. Firmware without the CGIs has
    `parameters` instead."""

    offset: float | None = None
    time: DeviceTime | None = None
    ntp: NtpClient | None = None
    parameters: dict[str, str] = field(default_factory=dict)


class TimeKind:
    """See `farsite_edge.policies.kind.Kind`."""

    name = TIME
    title = "Time"
    exclusive = True
    secrets: tuple[str, ...] = ()

    def describe(self) -> list[SettingInfo]:
        return [
            SettingInfo(
                name=SERVERS,
                title="Time servers",
                kind=SettingKind.LIST,
                recommended=[DHCP],
                about="dhcp, or up to five names or addresses (firmware before 9.10 takes the first)",
                sure="D",
            ),
            SettingInfo(
                name=ZONE,
                title="Time zone",
                kind=SettingKind.TEXT,
                about="such as Europe/Stockholm",
                sure="D",
            ),
            SettingInfo(
                name="max_offset",
                title="Largest clock offset",
                kind=SettingKind.NUMBER,
                recommended=5,
                about="seconds from the edge host's clock; the device tells whole seconds",
                sure="R",
            ),
            SettingInfo(
                name="set_clock",
                title="Set wrong clocks",
                kind=SettingKind.SWITCH,
                recommended=False,
                warning="recordings and certificates depend on the clock",
                sure="D",
            ),
        ]

    def recommended(self) -> Settings:
        return {SERVERS: [DHCP], "max_offset": 5, "set_clock": False}

    def validate(self, settings: Settings, secrets: Mapping[str, str]) -> Settings:
        return validated(settings)

    def rollout(self, settings: Settings) -> Rollout:
        return Rollout(parallel=PARALLEL, max_failures=MAX_DEVICES)

    async def warnings(self, settings: Settings) -> list[str]:
        return []

    async def read(self, access: DeviceAccess, wanted: Wanted) -> TimeFacts:
        async with access.client() as client:
            return await _read(client)

    def evaluate(self, wanted: Wanted, facts: TimeFacts) -> list[Finding]:
        settings, found = wanted.settings, []
        if SERVERS in settings:
            found.append(_servers(settings[SERVERS], facts))
        if ZONE in settings:
            found.append(_zone(settings[ZONE], facts))
        if "max_offset" in settings:
            found.append(_clock(settings, facts))
        return found

    def plan(
        self, wanted: Wanted, facts: TimeFacts, findings: Sequence[Finding], *, careful: bool
    ) -> list[Step]:
        off = [one for one in findings if one.state is PolicyState.DEVIATING]
        return [
            Step(
                name=one.setting,
                title=f"Sets {_TITLES[one.setting]}{'' if one.setting == CLOCK else f' to {one.wanted}'}.",
                settings=[one.setting],
                values={
                    "by_api": facts.ntp is not None if one.setting == SERVERS else facts.time is not None
                },
                before={"found": one.found},
            )
            for one in off
        ]

    async def apply(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        async with access.client() as client:
            match step.name:
                case "servers":
                    await _set_servers(client, wanted.settings[SERVERS], by_api=step.values["by_api"])
                case "time_zone":
                    await _set_zone(client, wanted.settings[ZONE], by_api=step.values["by_api"])
                case _:
                    await client.send(SetTime())

    async def verify(self, access: DeviceAccess, wanted: Wanted, step: Step) -> str | None:
        async with access.client() as client:
            facts = await _read(client)
        for one in self.evaluate(wanted, facts):
            if one.setting == step.name and one.state is not PolicyState.COMPLIANT:
                return one.detail or f"It reads back {one.found or 'nothing'}."
        return None

    async def undo(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        """No step is risky: nothing is undone."""


_TITLES = {SERVERS: "the time servers", ZONE: "the time zone", CLOCK: "the clock"}


async def _read(client: Any) -> TimeFacts:
    facts = TimeFacts()
    try:
        sent = time.time()
        facts.time = await client.send(GetTime())
        # Whole seconds, cut off: half a second is what it lags behind on average.
        facts.offset = facts.time.now.timestamp() + 0.5 - (sent + time.time()) / 2
    except ApiMissing:
        facts.parameters = await client.parameters("Time")
    try:
        facts.ntp = await client.send(GetNtp())
    except ApiMissing:
        facts.parameters = facts.parameters or await client.parameters("Time")
    return facts


def _servers(wanted: list[str], facts: TimeFacts) -> Finding:
    shown = ", ".join(wanted)
    if facts.ntp is not None:
        ntp = facts.ntp
        found = "off" if not ntp.enabled else DHCP if ntp.from_dhcp else ", ".join(ntp.servers)
        good = ntp.enabled and ([DHCP] if ntp.from_dhcp else [one.lower() for one in ntp.servers]) == wanted
        detail = "It is not synchronized with a server." if good and ntp.synced is False else ""
        return Finding(SERVERS, _state(good), shown, found, detail)
    if SERVER_PARAMETER not in facts.parameters:
        return Finding(SERVERS, PolicyState.NOT_SUPPORTED, shown)
    values = facts.parameters
    by_dhcp = values.get("Time.ObtainFromDHCP") == "yes"
    source = values.get("Time.SyncSource", "NTP")
    found = source if source != "NTP" else DHCP if by_dhcp else values[SERVER_PARAMETER]
    detail = "" if len(wanted) == 1 else "This firmware takes one server: the first."
    return Finding(SERVERS, _state(found.lower() == wanted[0]), shown, found, detail)


def _zone(wanted: str, facts: TimeFacts) -> Finding:
    if facts.time is not None and facts.time.zone:
        return Finding(ZONE, _state(facts.time.zone == wanted), wanted, facts.time.zone)
    found = facts.time.posix if facts.time is not None else facts.parameters.get(POSIX_PARAMETER, "")
    posix = posix_zone(wanted)
    if not found or not posix:
        return Finding(ZONE, PolicyState.NOT_SUPPORTED, wanted, found)
    return Finding(ZONE, _state(found == posix), f"{wanted} ({posix})", found)


def _clock(settings: Mapping[str, Any], facts: TimeFacts) -> Finding:
    most = settings["max_offset"]
    wanted = f"within {most} s"
    if facts.offset is None:
        return Finding(CLOCK, PolicyState.NOT_SUPPORTED, wanted)
    found = f"{facts.offset:+.0f} s"
    if abs(facts.offset) <= most:
        return Finding(CLOCK, PolicyState.COMPLIANT, wanted, found)
    detail = f"Its clock is {abs(facts.offset):.0f} s {'ahead' if facts.offset > 0 else 'behind'}."
    if settings.get("set_clock"):
        return Finding(CLOCK, PolicyState.DEVIATING, wanted, found, detail)
    synced = facts.ntp is not None and facts.ntp.synced is False
    advice = " No time server answers it." if synced else ""
    return Finding(
        CLOCK, PolicyState.FAILED, wanted, found, f"{detail}{advice} Set it, or let the policy do so."
    )


def _state(good: bool) -> PolicyState:
    return PolicyState.COMPLIANT if good else PolicyState.DEVIATING


async def _set_servers(client: Any, wanted: list[str], *, by_api: bool) -> None:
    by_dhcp = wanted == [DHCP]
    if by_api:
        await client.send(SetNtp(() if by_dhcp else tuple(wanted)))
        return
    values = {"Time.SyncSource": "NTP", "Time.ObtainFromDHCP": "yes" if by_dhcp else "no"}
    await client.update_parameters(values if by_dhcp else values | {SERVER_PARAMETER: wanted[0]})


async def _set_zone(client: Any, wanted: str, *, by_api: bool) -> None:
    if not by_api:
        posix = posix_zone(wanted)
        summer = "yes" if "," in posix else "no"
        await client.update_parameters({POSIX_PARAMETER: posix, "Time.DST.Enabled": summer})
        return
    now: DeviceTime = await client.send(GetTime())
    await client.send(SetTimeZone(wanted) if now.zone else SetPosixTimeZone(posix_zone(wanted)))
