"""The ports people on site reach the edge host at, and the administration socket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from aiohttp import web

from farsite_edge.admin.site import AdminSite
from farsite_edge.api.principal import Authenticator
from farsite_edge.devices.addresses import AddressRule
from farsite_edge.identity.tls import ServerTls
from farsite_edge.lan.discovery import discovery_app
from farsite_edge.lan.hosts import HostRule
from farsite_edge.lan.listening import LIMITS, listen
from farsite_edge.lan.multicast import MulticastResponder
from farsite_edge.settings import EdgeSettings
from farsite_signaling.rest import Front
from farsite_signaling.wire.edge_api import EdgeInfo, EdgePorts


class Doors:
    """`http`, `https` and `multicast` are the ports in use once they are open, else 0."""

    def __init__(self, settings: EdgeSettings, tls: ServerTls, hosts: HostRule, rule: AddressRule) -> None:
        self._settings = settings
        self._tls = tls
        self._hosts = hosts
        self._rule = rule
        self.http = self.https = self.multicast = 0

    def ports(self) -> EdgePorts:
        return EdgePorts(https=self.https, http=self.http, multicast=self.multicast)

    async def open(
        self,
        stack: AsyncExitStack,
        runner: web.AppRunner,
        authenticator: Authenticator,
        info: Callable[[], EdgeInfo],
    ) -> None:
        """Closed with the stack. Raises `port_taken`, `setting_invalid`."""
        settings = self._settings
        self._tls.refresh()
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        front = Front(runner, LIMITS)
        stack.callback(front.close)
        self.https = await listen(front, settings.bind, settings.https_port, "https_port", self._tls.context)
        await self._open_discovery(stack, info)
        self._rule.own_ports |= {self.https, self.http}
        await stack.enter_async_context(AdminSite(runner, authenticator, settings.data_dir))
        if authenticator.admin_port is not None:
            self._rule.own_ports.add(authenticator.admin_port)

    async def _open_discovery(self, stack: AsyncExitStack, info: Callable[[], EdgeInfo]) -> None:
        settings = self._settings
        discovery = web.AppRunner(discovery_app(info, self._hosts), access_log=None)
        await discovery.setup()
        stack.push_async_callback(discovery.cleanup)
        front = Front(discovery, LIMITS)
        stack.callback(front.close)
        self.http = await listen(front, settings.bind, settings.http_port, "http_port")
        if settings.multicast:
            responder = MulticastResponder(
                info, group=settings.multicast_group, port=settings.multicast_port, addresses=settings.bind
            )
            await stack.enter_async_context(responder)
            self.multicast = responder.port
