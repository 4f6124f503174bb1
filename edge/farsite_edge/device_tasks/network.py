"""IPv4 settings of a device, as changes of addresses see them."""

from __future__ import annotations

from typing import Any

from farsite_edge.vapix.network import DHCP, STATIC, IPv4Settings, NetworkInfo


class IPv4:
    """A `Family`."""

    ipv6 = False
    ending = ""

    def wanted(self, payload: dict[str, Any]) -> IPv4Settings:
        address, _, prefix = str(payload.get("address") or "").partition("/")
        return IPv4Settings(str(payload["mode"]), address, int(prefix or 0), str(payload.get("router") or ""))

    def refusal(self, info: NetworkInfo, wanted: IPv4Settings, *, reached: bool) -> str | None:
        """Every firmware has IPv4."""
        return None

    async def read(self, client: Any) -> NetworkInfo:
        network: NetworkInfo = await client.network()
        return network

    async def write(self, client: Any, info: NetworkInfo, wanted: IPv4Settings) -> None:
        await client.set_ipv4(info, wanted)

    async def put_back(self, client: Any, info: NetworkInfo, kept: Any) -> None:
        await self.write(client, info, IPv4Settings(*kept))

    def keep(self, info: NetworkInfo) -> Any:
        before = info.ipv4
        return [before.mode, before.address, before.prefix, before.router]

    def has(self, info: NetworkInfo, wanted: IPv4Settings) -> bool:
        """What DHCP gives is as wanted."""
        return info.ipv4.mode == wanted.mode and (wanted.mode == DHCP or info.ipv4 == wanted)

    def has_kept(self, info: NetworkInfo, kept: Any) -> bool:
        return self.has(info, IPv4Settings(*kept))

    def address(self, wanted: IPv4Settings) -> str | None:
        return wanted.address if wanted.mode == STATIC else None

    def described(self, wanted: IPv4Settings) -> str:
        if wanted.mode == DHCP:
            return "DHCP"
        router = f", router {wanted.router}" if wanted.router else ""
        return f"{wanted.address}/{wanted.prefix}{router}"

    def described_kept(self, kept: Any) -> str:
        return self.described(IPv4Settings(*kept))
