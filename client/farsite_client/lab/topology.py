"""An internet with a few sites.

      site 1: host -- router --+            +-- router -- host, host :site 2
                               |  internet  |
      site 3: host ------------+  (bridge)  |
                                  cloud 5.9.0.10, relay 5.9.0.20

The addresses look public because they have to: the relay refuses private and documentation addresses, and a
lab must not run with a weaker configuration than the one shipped. They exist only inside namespaces that no link
joins to the machine's own network, so it does not matter whose they are elsewhere.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from farsite_client.lab.namespaces import Namespace, make, missing, prefix, remove, run, sweep
from farsite_client.lab.proxy import Proxy
from farsite_client.lab.rules import Nat, rules
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

CLOUD_ADDRESS = "5.9.0.10"
TURN_ADDRESS = "5.9.0.20"
_LABS = iter(range(1, 1_000_000))


class Site:
    """One place: a host, or several in one LAN, and the router before them."""

    def __init__(
        self, nat: Nat, number: int, router: Namespace | None, host: Namespace, address: str
    ) -> None:
        self.nat = nat
        self.number = number
        self.router = router
        self.host = host
        self.address = address
        """The first host's own address."""
        self.proxy: Proxy | None = None
        self.hosts = [host]

    @property
    def public_address(self) -> str:
        return f"5.9.{self.number}.1"


class Lab:
    """Builds while entered; leaving removes every namespace and what runs in it."""

    def __init__(self) -> None:
        self._prefix = f"{prefix()}-{next(_LABS)}"
        self._namespaces: list[Namespace] = []
        self._sites: list[Site] = []
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    async def __aenter__(self) -> Self:
        if reason := missing():
            raise FarsiteError(ErrorCode.UNAVAILABLE, f"The lab cannot be built: {reason}.")
        await sweep()
        self._temporary = tempfile.TemporaryDirectory(prefix="farsite-lab-")
        # Squid gives root up before it reads its password file.
        self.directory.chmod(0o755)
        try:
            await self._build_internet()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    @property
    def directory(self) -> Path:
        assert self._temporary is not None
        return Path(self._temporary.name)

    async def _close(self) -> None:
        for site in self._sites:
            if site.proxy is not None:
                await site.proxy.stop()
        for namespace in reversed(self._namespaces):
            await remove(namespace)
        self._namespaces.clear()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    async def _make(self, role: str) -> Namespace:
        namespace = Namespace(f"{self._prefix}-{role}")
        self._namespaces.append(namespace)
        return await make(namespace.name)

    async def _build_internet(self) -> None:
        self.internet = await self._make("internet")
        commands = [
            "link add wan type bridge",
            f"addr add {CLOUD_ADDRESS}/16 dev wan",
            f"addr add {TURN_ADDRESS}/16 dev wan",
            "link set wan up",
        ]
        await _ip(self.internet, commands)

    async def site(self, nat: Nat, *, password: str = "") -> Site:
        """A new site with one host. `password` is the proxy's, for `proxy-only`; the name is `site`."""
        number = len(self._sites) + 1
        host = await self._make(f"host{number}")
        if nat is Nat.NONE:
            await self._join_internet(host, number)
            site = Site(nat, number, None, host, f"5.9.{number}.1")
        else:
            site = await self._site_with_router(nat, number, host)
        self._sites.append(site)
        if nat is Nat.PROXY_ONLY:
            site.proxy = await self._start_proxy(site, password)
        return site

    async def _site_with_router(self, nat: Nat, number: int, host: Namespace) -> Site:
        router = await self._make(f"router{number}")
        await self._join_internet(router, number)
        await _ip(
            router, ["link add lan type bridge", f"addr add 10.{number}.0.1/24 dev lan", "link set lan up"]
        )
        await router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        await router.run("nft", "-f", "-", text=rules(nat))
        site = Site(nat, number, router, host, f"10.{number}.0.10")
        await self._join_lan(site, host, 10)
        return site

    async def add_host(self, site: Site) -> Namespace:
        """One more host in the site's LAN."""
        assert site.router is not None, "a site without a router has one host"
        host = await self._make(f"host{site.number}-{len(site.hosts)}")
        await self._join_lan(site, host, 10 + len(site.hosts))
        site.hosts.append(host)
        return host

    async def _join_lan(self, site: Site, host: Namespace, last: int) -> None:
        assert site.router is not None
        port = f"h{last}"
        await run("ip", "-n", host.name, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns",
                  site.router.name)  # fmt: skip
        await _ip(site.router, [f"link set {port} master lan", f"link set {port} up"])
        lan = f"10.{site.number}.0"
        await _ip(
            host, [f"addr add {lan}.{last}/24 dev eth0", "link set eth0 up", f"route add default via {lan}.1"]
        )

    async def _join_internet(self, namespace: Namespace, number: int) -> None:
        port = f"s{number}"
        await run("ip", "-n", namespace.name, "link", "add", "wan", "type", "veth", "peer", "name", port, "netns",
                  self.internet.name)  # fmt: skip
        await _ip(self.internet, [f"link set {port} master wan", f"link set {port} up"])
        await _ip(namespace, [f"addr add 5.9.{number}.1/16 dev wan", "link set wan up"])

    async def _start_proxy(self, site: Site, password: str) -> Proxy:
        assert site.router is not None
        proxy = Proxy(site.router, f"10.{site.number}.0.1", self.directory / f"proxy{site.number}", password)
        await proxy.start()
        return proxy


async def _ip(namespace: Namespace, commands: list[str]) -> None:
    await run("ip", "-n", namespace.name, "-batch", "-", text="\n".join(commands) + "\n")
