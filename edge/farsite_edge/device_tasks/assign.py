"""Host name, address and name servers of one device, in the order in which nothing gets lost."""

from __future__ import annotations

from typing import Any

from farsite_edge.device_tasks.holding import done
from farsite_edge.device_tasks.network import ChangeNetwork
from farsite_edge.devices import DeviceManager
from farsite_edge.tasks import Outcome, Work
from farsite_signaling.wire.edge_tasks import WorkState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class AssignNetwork:
    """The name first, which changes nothing else; then the address, which is put back when the device does not return;
    name servers last, at the new place. All but the address may be done twice: after a crash it is."""

    def __init__(self, manager: DeviceManager, network: ChangeNetwork) -> None:
        self._manager = manager
        self._network = network

    async def __call__(self, work: Work) -> Outcome:
        payload, said = work.payload, []
        if payload.get("host_name") and work.memory is None:
            await self._name(work.device, payload["host_name"])
            said.append(f"Its host name is {payload['host_name']}.")
        if payload.get("mode"):
            outcome = await self._network(work)
            if outcome.state is not WorkState.SUCCEEDED:
                return outcome
            said.append(outcome.detail)
        if payload.get("dns"):
            await self._servers(work.device, tuple(payload["dns"]))
            said.append(f"Its name servers are {', '.join(payload['dns'])}.")
        return done(" ".join(said) or "There was nothing to do.")

    async def _client(self, device: str) -> Any:
        account = await self._manager.credentials.get(device)
        if account is None:
            raise FarsiteError(ErrorCode.DEVICE_CREDENTIALS, f"Log in to the device {device} first.")
        return self._manager.client(self._manager.registry.managed(device), account)

    async def _name(self, device: str, name: str) -> None:
        client = await self._client(device)
        network = await self._manager.bounded(client.network())
        await self._manager.bounded(client.set_host_name(network, name))
        now = (await self._manager.bounded(client.network())).hostname
        if now.lower() != name.lower():
            raise _differs(f"its host name is {now}")
        await self._manager.registry.update(device, hostname=now)

    async def _servers(self, device: str, servers: tuple[str, ...]) -> None:
        client = await self._client(device)
        network = await self._manager.bounded(client.network())
        await self._manager.bounded(client.set_name_servers(network, servers))
        now = (await self._manager.bounded(client.network())).name_servers
        if now[: len(servers)] != (servers if network.by_api else servers[:2])[: len(now)] or not now:
            raise _differs(f"its name servers are {', '.join(now) or 'none'}")


def _differs(what: str) -> FarsiteError:
    return FarsiteError(
        ErrorCode.DEVICE_ANSWER, f"The device accepted the change but reads back otherwise: {what}."
    )
