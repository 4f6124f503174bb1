"""aiohttp through a SOCKS5 proxy (RFC 1928): only the TCP connection is made differently."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy as Dialer
from yarl import URL

from farsite_signaling.peer.proxy import Proxy
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

DIAL_TIMEOUT = 15.0


def connector(proxy: Proxy | None, tls: ssl.SSLContext | bool) -> aiohttp.BaseConnector:
    """For a session that goes through `proxy`. An HTTP proxy is named with each request instead."""
    if proxy is not None and proxy.is_socks:
        return SocksConnector(proxy, ssl=tls)
    return aiohttp.TCPConnector(ssl=tls)


def proxy_options(proxy: Proxy | None, *, tunnelled: bool) -> dict[str, Any]:
    """Of a request that goes through an HTTP proxy; nothing for another way. `tunnelled`: by CONNECT (https)."""
    if proxy is None or proxy.is_socks:
        return {}
    scheme = "https" if proxy.scheme == "https" else "http"
    options: dict[str, Any] = {"proxy": URL.build(scheme=scheme, host=proxy.host, port=proxy.port)}
    if proxy.username is not None:
        header = aiohttp.encode_basic_auth(proxy.username, proxy.password or "")
        # With CONNECT the proxy has headers of its own; without, it reads those of the request.
        options["proxy_headers" if tunnelled else "headers"] = {"Proxy-Authorization": header}
    return options


class _ProxyResolves(AbstractResolver):
    """Names are the proxy's to resolve: the site may have no DNS for outside names."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None: ...


class SocksConnector(aiohttp.TCPConnector):
    """Requests raise `FarsiteError` (`proxy_unreachable`, `proxy_authentication`) beside aiohttp's own errors."""

    def __init__(self, proxy: Proxy, **options: Any) -> None:
        super().__init__(resolver=_ProxyResolves(), use_dns_cache=False, **options)
        self._proxy = proxy

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[Any],
        req: aiohttp.ClientRequest,
        timeout: aiohttp.ClientTimeout,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **options: Any,
    ) -> tuple[asyncio.Transport, Any]:
        # aiohttp has no public seam between its DNS and its TLS. A test with a real SOCKS server and TLS guards this.
        host, port = addr_infos[0][4][:2]
        sock = await self._dial(str(host), int(port), timeout.sock_connect)
        try:
            return await asyncio.get_running_loop().create_connection(*args, sock=sock, **options)
        except ssl.SSLCertVerificationError as error:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from error
        except ssl.SSLError as error:
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from error
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error

    async def _dial(self, host: str, port: int, timeout: float | None) -> socket.socket:
        proxy = self._proxy
        dialer = Dialer(ProxyType.SOCKS5, proxy.host, proxy.port, proxy.username, proxy.password, rdns=True)
        try:
            return await dialer.connect(host, port, timeout=timeout or DIAL_TIMEOUT)
        except (ProxyConnectionError, ProxyTimeoutError, OSError) as error:
            raise self._unreachable(error) from None
        except ProxyError as error:
            raise self._refused(error) from None

    def _unreachable(self, error: Exception) -> FarsiteError:
        reason = (
            "no answer in time" if isinstance(error, ProxyTimeoutError | TimeoutError) else "no connection"
        )
        return FarsiteError(
            ErrorCode.PROXY_UNREACHABLE,
            f"The SOCKS proxy {self._proxy.address} cannot be reached: {reason}. Check the proxy address and that "
            "the proxy is running.",
        )

    def _refused(self, error: ProxyError) -> FarsiteError:
        text = str(error)[:200]
        if "auth" in text.lower():
            return FarsiteError(
                ErrorCode.PROXY_AUTHENTICATION,
                f"The SOCKS proxy {self._proxy.address} wants a user name and password, and those given are missing "
                "or wrong. Correct the proxy address: socks5://user:password@host:port.",
            )
        return FarsiteError(
            ErrorCode.PROXY_UNREACHABLE,
            f"The SOCKS proxy {self._proxy.address} does not connect: {text}.",
        )
