"""aiohttp over SOCKS: only the TCP connection is made differently."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
from python_socks.async_.asyncio import Proxy as Socks

from farsite_signaling.peer.proxy import parse_proxy
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class _ProxyResolves(AbstractResolver):
    """Names are the proxy's to resolve: the site may have no DNS of its own."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0),
        ]

    async def close(self) -> None:
        return None


class SocksConnector(aiohttp.TCPConnector):
    def __init__(self, proxy: str, **options: Any) -> None:
        super().__init__(resolver=_ProxyResolves(), **options)
        self._farsite_proxy = parse_proxy(proxy)

    async def _wrap_create_connection(  # type: ignore[override]
        self, *args: Any, req: aiohttp.ClientRequest, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        # The one seam aiohttp offers below TLS; its signature is checked by a test against a SOCKS server.
        kept = ("ssl", "server_hostname")
        chosen = {name: options[name] for name in kept if options.get(name) is not None}
        sock = await self._connect(req.url.host or "", req.url.port or 443)
        loop = asyncio.get_running_loop()
        return await loop.create_connection(*args, sock=sock, **chosen)

    async def _connect(self, host: str, port: int) -> Any:
        url = self._farsite_proxy.url.replace("socks5h://", "socks5://", 1)
        try:
            return await Socks.from_url(url, rdns=True).connect(host, port)
        except (ProxyConnectionError, ProxyTimeoutError) as error:
            raise FarsiteError(
                ErrorCode.PROXY_UNREACHABLE, f"The proxy {self._farsite_proxy} cannot be used: {error}."
            ) from error
        except ProxyError as error:
            raise self._refused(error) from error

    def _refused(self, error: ProxyError) -> FarsiteError:
        if "auth" in str(error).lower():
            return FarsiteError(
                ErrorCode.PROXY_AUTHENTICATION,
                f"The proxy {self._farsite_proxy} refuses the user name or password. Correct the proxy address.",
            )
        return FarsiteError(
            ErrorCode.PROXY_UNREACHABLE, f"The proxy {self._farsite_proxy} does not connect: {error}."
        )
