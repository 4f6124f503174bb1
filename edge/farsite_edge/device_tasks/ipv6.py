"""IPv6 settings of a device, as changes of addresses see them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from farsite_edge.vapix import Refused
from farsite_edge.vapix.ipv6 import AUTO, OFF, PREFIX, STATIC, IPv6Info, IPv6Settings, read_ipv6
from farsite_signaling.wire.errors import FarsiteError


class IPv6:
    """A `Family`; `kept` are parameters as they were, so that what is not understood here comes back too."""

    ipv6 = True
    ending = "_ipv6"

    def wanted(self, payload: dict[str, Any]) -> IPv6Settings:
        mode = str(payload["ipv6"])
        if mode in (AUTO, OFF):
            return IPv6Settings(mode)
        return IPv6Settings(STATIC, mode, str(payload.get("ipv6_router") or ""))

    def refusal(self, info: IPv6Info | None, wanted: IPv6Settings, *, reached: bool) -> str | None:
        if info is None:
            return "Its firmware has no IPv6 settings that are known here."
        if wanted.mode == OFF and reached:
            return "The edge host reaches it over IPv6: switched off, it would be lost."
        return None

    async def read(self, client: Any) -> IPv6Info | None:
        info: IPv6Info | None = await client.ipv6()
        return info

    async def write(self, client: Any, info: IPv6Info | None, wanted: IPv6Settings) -> None:
        assert info is not None, "refused before"
        try:
            await client.set_ipv6(info, wanted)
        except Refused:
            with suppress(FarsiteError):  # what it refuses it has not changed; the rest it may have
                await self.put_back(client, info, info.raw)
            raise

    async def put_back(self, client: Any, info: IPv6Info | None, kept: Any) -> None:
        await client.update_parameters(_parameters(kept))

    def keep(self, info: IPv6Info | None) -> Any:
        assert info is not None, "refused before"
        return info.raw

    def has(self, info: IPv6Info | None, wanted: IPv6Settings) -> bool:
        return info is not None and info.settings == wanted

    def has_kept(self, info: IPv6Info | None, kept: Any) -> bool:
        return info is not None and info.raw == kept

    def address(self, wanted: IPv6Settings) -> str | None:
        return wanted.address.partition("/")[0] if wanted.mode == STATIC else None

    def described(self, wanted: IPv6Settings) -> str:
        if wanted.mode == OFF:
            return "IPv6 switched off"
        if wanted.mode == AUTO:
            return "IPv6 by router advertisements"
        router = f", IPv6 router {wanted.router}" if wanted.router else ""
        return f"{wanted.address or 'IPv6 in several ways'}{router}"

    def described_kept(self, kept: Any) -> str:
        info = read_ipv6(_parameters(kept))
        return self.described(info.settings) if info is not None else "of IPv6"


def _parameters(raw: Mapping[str, str]) -> dict[str, str]:
    return {f"{PREFIX}{name}": value for name, value in raw.items()}
