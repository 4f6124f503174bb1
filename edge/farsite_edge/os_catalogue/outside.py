"""Downloads from the internet, through the site's proxy where there is one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit

import aiohttp

from farsite_edge.claim.cloud import cloud_tls
from farsite_edge.preferences import Preferences
from farsite_edge.settings import EdgeSettings
from farsite_signaling.peer.http_proxy import connector, proxy_options
from farsite_signaling.peer.proxy import Proxy, parse_proxy
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

CONNECT_SECONDS = 20.0
IDLE_SECONDS = 60.0
MAX_REDIRECTS = 5
_FAILURES = (aiohttp.ClientError, OSError, ssl.SSLError, TimeoutError, asyncio.IncompleteReadError)
_MOVED = (301, 302, 303, 307, 308)


class Outside:
    """Raises `FarsiteError`: `unavailable`, `proxy_unreachable`, `proxy_authentication`, `certificate_invalid`."""

    def __init__(self, settings: EdgeSettings, preferences: Preferences) -> None:
        self._ca = settings.cloud_ca
        self._preferences = preferences

    @asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a GET, redirects followed, never from https to http. What is read of it may raise, too: read it
        inside `reading`."""
        address = await self._preferences.proxy_address()
        proxy = parse_proxy(address) if address else None
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=IDLE_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector(proxy, cloud_tls(self._ca)),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=timeout,
            trust_env=False,
        ) as session:
            response = await self._followed(session, url, headers, proxy)
            try:
                yield response
            finally:
                response.close()

    async def _followed(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], proxy: Proxy | None
    ) -> aiohttp.ClientResponse:
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._asked(session, url, headers, proxy)
            if response.status not in _MOVED:
                return response
            response.close()
            following = urljoin(url, response.headers.get("Location", ""))
            if urlsplit(url).scheme == "https" and urlsplit(following).scheme != "https":
                raise unavailable(url, "it sends its callers to an unprotected address")
            url = following
        raise unavailable(url, "it sends its callers round in circles")

    async def _asked(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], proxy: Proxy | None
    ) -> aiohttp.ClientResponse:
        options = proxy_options(proxy, tunnelled=url.startswith("https:"))
        options["headers"] = {
            "User-Agent": "farsite",
            "Accept-Encoding": "identity",
            **headers,
            **options.get("headers", {}),
        }
        try:
            response = await session.get(url, allow_redirects=False, **options)
        except _FAILURES as error:
            raise explained(url, error, proxy) from error
        if response.status == 407:
            response.close()
            raise _proxy_password(proxy)
        return response


def explained(url: str, error: BaseException, proxy: Proxy | None = None) -> FarsiteError:
    """What kept us from it, in words."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            return _proxy_password(proxy)
        return _proxy_failed(proxy, f"it answered {error.status} {error.message}")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _proxy_failed(proxy, error.os_error.strerror or "no connection")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return FarsiteError(
            ErrorCode.CERTIFICATE_INVALID,
            f"The TLS certificate of {host_of(url)} is not trusted. If it has an authority of its own, name its "
            "certificate in FARSITE_EDGE_CLOUD_CA; otherwise something between inspects TLS.",
        )
    if isinstance(error, TimeoutError):
        return unavailable(url, "no answer in time")
    if isinstance(
        error, aiohttp.ClientPayloadError | asyncio.IncompleteReadError | aiohttp.ServerDisconnectedError
    ):
        return unavailable(url, "the connection broke off")
    cause = getattr(error, "os_error", None) or error
    return unavailable(url, str(getattr(cause, "strerror", None) or type(cause).__name__)[:200])


def unavailable(url: str, reason: str) -> FarsiteError:
    return FarsiteError(ErrorCode.UNAVAILABLE, f"{host_of(url)} cannot be used: {reason}.")


def host_of(url: str) -> str:
    """For messages: an address may hold a token."""
    return urlsplit(url).netloc.rpartition("@")[2] or "The server"


def _proxy_password(proxy: Proxy | None) -> FarsiteError:
    return FarsiteError(
        ErrorCode.PROXY_AUTHENTICATION,
        f"The proxy {proxy or ''} refuses the user name or password. Correct the proxy address.",
    )


def _proxy_failed(proxy: Proxy | None, reason: str) -> FarsiteError:
    return FarsiteError(
        ErrorCode.PROXY_UNREACHABLE, f"The proxy {proxy or ''} cannot be used: {reason[:200]}."
    )
