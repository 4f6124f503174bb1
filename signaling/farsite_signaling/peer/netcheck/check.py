"""The whole check: every probe at once, none longer than three seconds, all of it within six."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable

from farsite_signaling.peer.netcheck.allow import allow_list
from farsite_signaling.peer.netcheck.hub import hub_rows
from farsite_signaling.peer.netcheck.names import Names
from farsite_signaling.peer.netcheck.nat import udp_rows
from farsite_signaling.peer.netcheck.target import (
    PROBE_SECONDS,
    STUN_PORT,
    TOTAL_SECONDS,
    Target,
    host_and_port,
)
from farsite_signaling.peer.servers import StunServer, TurnServer, parse_servers
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.netcheck import CheckReport, CheckRow, warned


async def netcheck(target: Target) -> CheckReport:
    """Never raises for what the network does; raises `FarsiteError` for a proxy address that is none."""
    if target.proxy is not None and target.proxy.scheme == "https":
        # Said in so many words instead of a failed row for every way that needs it.
        raise FarsiteError(
            ErrorCode.SETTING_INVALID,
            "A proxy that is itself reached by HTTPS carries no relays. Name its http:// or socks5:// port.",
        )
    return await _Check(target).run()


class _Check:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._names = Names()
        self._stun: list[StunServer] = []
        self._turn: list[TurnServer] = []
        self._rows: dict[str, list[CheckRow]] = {
            part: [] for part in ("names", "udp", "hub", "relay names", "turn")
        }

    @property
    def _servers(self) -> list[StunServer | TurnServer]:
        return [*self._stun, *self._turn]

    async def run(self) -> CheckReport:
        """Rows in the order of the layers, whatever finished first."""
        try:
            async with asyncio.timeout(TOTAL_SECONDS), asyncio.TaskGroup() as group:
                group.create_task(self._keep("names", self._cloud_names()), name="netcheck names")
                group.create_task(
                    self._follow("hub", hub_rows(self._target, self._names)), name="netcheck hub"
                )
                group.create_task(self._relays(), name="netcheck relays")
        except TimeoutError:
            for part in ("udp", "turn"):
                if not self._rows[part]:
                    text = f"not finished within {TOTAL_SECONDS:.0f} s"
                    self._rows[part].append(warned(part.upper(), text, "Run it again."))
        rows = [row for part in self._rows.values() for row in part]
        return CheckReport(rows=rows, allow_list=allow_list(self._target, self._stun, self._turn))

    async def _keep(self, part: str, work: Awaitable[list[CheckRow]]) -> None:
        self._rows[part].extend(await work)

    async def _follow(self, part: str, work: AsyncIterator[CheckRow]) -> None:
        async for row in work:
            self._rows[part].append(row)

    async def _cloud_names(self) -> list[CheckRow]:
        target = self._target
        wanted = {target.cloud[0]: "cloud"}
        wanted.setdefault(host_and_port(target.hub)[0], "hub")
        if target.proxy is not None:
            wanted.setdefault(target.proxy.host, "proxy")
        return await self._name_rows(wanted)

    async def _name_rows(self, wanted: dict[str, str]) -> list[CheckRow]:
        proxy = self._target.proxy
        return list(
            await asyncio.gather(
                *(
                    self._names.row(host, what, behind_proxy=proxy is not None and host != proxy.host)
                    for host, what in wanted.items()
                )
            )
        )

    async def _relays(self) -> None:
        problem = await self._learn()
        known = {self._target.cloud[0], host_and_port(self._target.hub)[0]}
        hosts = {server.host: "relay" for server in self._servers if server.host not in known}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep("relay names", self._name_rows(hosts)), name="netcheck relay names")
            group.create_task(self._keep("udp", self._udp()), name="netcheck udp")
            group.create_task(self._keep("turn", self._allocations(problem)), name="netcheck turn")

    async def _learn(self) -> CheckRow | None:
        """Ask for servers and credentials; the row that says why there are none."""
        target = self._target
        if target.ask_relays is None:
            return warned("TURN", "not checked: it takes credentials of the cloud", target.no_relays)
        if target.proxy is None and not await self._names.addresses(target.cloud[0]):
            return warned("TURN", "not checked: the cloud's name cannot be resolved", "See the DNS row.")
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                found = await target.ask_relays()
        except TimeoutError:
            return warned(
                "TURN", "not checked: the cloud gave no credentials in time", "See the rows of the hub."
            )
        except FarsiteError as error:
            return warned("TURN", f"not checked: {error.detail}", "See the rows of the hub.")
        self._stun, self._turn = parse_servers(found.ice_servers)
        if not self._turn:
            why = "the cloud has no relay: sites that no direct path reaches cannot be managed"
            return warned("TURN", why, "On the cloud's machine see: farsite cloud doctor")
        return None

    async def _udp(self) -> list[CheckRow]:
        if self._servers:
            return await udp_rows(self._target, self._servers, self._names)
        # Signed out nothing is known; a relay usually stands beside its cloud.
        guess = StunServer(self._target.cloud[0], STUN_PORT)
        return await udp_rows(self._target, [guess], self._names, guessed=True)

    async def _allocations(self, problem: CheckRow | None) -> list[CheckRow]:
        if problem is not None:
            return [problem]
        from farsite_signaling.peer.netcheck.relays import relay_rows

        return await relay_rows(self._target, self._turn, self._names)
