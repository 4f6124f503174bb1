"""Host name, addresses and name servers of one device, in the order in which nothing gets lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from farsite_edge.device_tasks.arriving import is_ipv6, logged_in
from farsite_edge.device_tasks.holding import done
from farsite_edge.device_tasks.parts import Part, WorkPart
from farsite_edge.devices import DeviceManager
from farsite_edge.tasks import Outcome, Work
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

IPV4, IPV6 = "ipv4", "ipv6"
Change = Callable[[Part], Awaitable[Outcome]]


class AssignNetwork:
    """The name first, which changes nothing else; then the addresses, last those it is reached by, put back when the
    device does not return; name servers at the end, at the new place. All but the addresses may be done twice: after a
    crash it is."""

    def __init__(self, manager: DeviceManager, network: Change, ipv6: Change) -> None:
        self._manager = manager
        self._changes: dict[str, Change] = {IPV4: network, IPV6: ipv6}

    async def __call__(self, work: Work) -> Outcome:
        payload, said = work.payload, []
        if payload.get("host_name") and work.memory is None:
            await self._name(work.device, payload["host_name"])
            said.append(f"Its host name is {payload['host_name']}.")
        for part in self._parts(work):
            outcome = await self._changed(part)
            said.append(outcome.detail)
            if outcome.state is not WorkState.SUCCEEDED:
                return Outcome(outcome.state, " ".join(said)[:500], outcome.code)
        if payload.get("dns"):
            await self._servers(work.device, tuple(payload["dns"]))
            said.append(f"Its name servers are {', '.join(payload['dns'])}.")
        return done(" ".join(said) or "There was nothing to do.")

    def _parts(self, work: Work) -> list[WorkPart]:
        """What was begun before a crash goes on first."""
        reached = self._manager.registry.managed(work.device).address
        order = (IPV4, IPV6) if is_ipv6(reached) else (IPV6, IPV4)
        asked = {IPV4: "mode", IPV6: "ipv6"}
        parts = [WorkPart(work, name) for name in order if work.payload.get(asked[name])]
        return sorted(parts, key=lambda part: part.memory is None)

    async def _changed(self, part: WorkPart) -> Outcome:
        if part.done is not None:
            return done(part.done)
        outcome = await self._changes[part.name](part)
        if outcome.state is WorkState.SUCCEEDED:
            await part.finish(outcome.detail)
        return outcome

    async def _name(self, device: str, name: str) -> None:
        client = await logged_in(self._manager, self._manager.registry.managed(device))
        network = await self._manager.contact.bounded(client.network())
        await self._manager.contact.bounded(client.set_host_name(network, name))
        now = (await self._manager.contact.bounded(client.network())).hostname
        if now.lower() != name.lower():
            raise _differs(f"its host name is {now}")
        await self._manager.registry.update(device, hostname=now)

    async def _servers(self, device: str, servers: tuple[str, ...]) -> None:
        client = await logged_in(self._manager, self._manager.registry.managed(device))
        network = await self._manager.contact.bounded(client.network())
        await self._manager.contact.bounded(client.set_name_servers(network, servers))
        now = (await self._manager.contact.bounded(client.network())).name_servers
        if now[: len(servers)] != (servers if network.by_api else servers[:2])[: len(now)] or not now:
            raise _differs(f"its name servers are {', '.join(now) or 'none'}")


def _differs(what: str) -> FarsiteError:
    return FarsiteError(
        ErrorCode.DEVICE_ANSWER, f"The device accepted the change but reads back otherwise: {what}."
    )
