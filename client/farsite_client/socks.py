"""An aiohttp connector through a SOCKS5 proxy (RFC 1928); the proxy resolves the names."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from farsite_signaling.peer.proxy import Proxy
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class _NoResolver(AbstractResolver):
    """Hands names on as they are, so that the proxy looks them up (and its network's answer counts)."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0),
        ]

    async def close(self) -> None: ...


class SocksConnector(aiohttp.TCPConnector):
    def __init__(self, proxy: Proxy, **options: Any) -> None:
        super().__init__(resolver=_NoResolver(), use_dns_cache=False, **options)
        self._proxy = proxy

    async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> Any:
        # aiohttp opens every TCP connection here; only the socket's origin differs.
        addresses = kwargs.pop("addr_infos")
        request, timeout = kwargs.pop("req"), kwargs.pop("timeout")
        kwargs.pop("client_error", None)
        host, port = addresses[0][4][:2]
        kwargs["sock"] = await self._dial(str(host), int(port), timeout.sock_connect)
        try:
            return await self._loop.create_connection(*args, **kwargs)
        except aiohttp.ClientError:
            raise
        except OSError as error:
            raise _tls_error(request.connection_key, error) from error

    async def _dial(self, host: str, port: int, timeout: float | None) -> socket.socket:
        from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
        from python_socks.async_.asyncio import Proxy as Dialer

        proxy = self._proxy
        dialer = Dialer(ProxyType.SOCKS5, proxy.host, proxy.port, proxy.username, proxy.password, rdns=True)
        try:
            return await dialer.connect(host, port, timeout=timeout)
        except (ProxyConnectionError, ProxyTimeoutError, OSError):
            raise FarsiteError(
                ErrorCode.PROXY_UNREACHABLE, f"The SOCKS proxy {proxy.address} cannot be reached."
            ) from None
        except ProxyError as error:
            raise _refused(error) from None


def _refused(error: Exception) -> FarsiteError:
    text = str(error)
    if "auth" in text.lower():
        return FarsiteError(
            ErrorCode.PROXY_AUTHENTICATION,
            "The SOCKS proxy refused: user name or password are missing or wrong. Give them as "
            "--proxy socks5://user:password@host:port.",
        )
    return FarsiteError(ErrorCode.PROXY_UNREACHABLE, f"The SOCKS proxy refused the connection: {text[:200]}.")


def _tls_error(key: Any, error: OSError) -> Exception:
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return aiohttp.ClientConnectorCertificateError(key, error)
    if isinstance(error, ssl.SSLError):
        return aiohttp.ClientConnectorSSLError(key, error)
    return aiohttp.ClientConnectorError(key, error)
