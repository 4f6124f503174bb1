"""One request to an address a user named: resolved once, checked, and sent to exactly what was checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from farsite_cloud.outbound.policy import Addresses, Target, check_url
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SECONDS = 10.0
MAX_ANSWER = 256 * 1024
AT_A_TIME = 50
_HEADERS = {"User-Agent": "farsite-cloud", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Outbound:
    """Redirects are answers, not followed; proxies, cookies and netrc of the environment are not used.

    `allowed` are networks of the operator's own that may be reached too, by plain HTTP as well; `ca_file` adds
    authorities (PEM) to the system's. Raises `setting_invalid` for a file that holds none.
    """

    def __init__(self, allowed: tuple[str, ...] = (), ca_file: Path | None = None) -> None:
        self._addresses = Addresses(allowed)
        self._tls = _tls(ca_file)
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        seconds: float = SECONDS,
        max_bytes: int = MAX_ANSWER,
    ) -> Reply:
        """`seconds` for all of it, name, handshake and body. Raises `outbound_refused`, `outbound_failed`."""
        target = check_url(url)
        try:
            async with asyncio.timeout(seconds), self._places:
                found = await self._resolve(target)
                return await self._exchange(method, url, target, found, headers, data, max_bytes)
        except TimeoutError:
            raise _failed(target, f"no answer within {seconds:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(target, _reason(error)) from None

    def check(self, url: str) -> None:
        """Whether it could ever be asked, without asking the network. Raises `outbound_refused`."""
        self._addresses.check_hopeful(check_url(url))

    async def _resolve(self, target: Target) -> list[str]:
        loop = asyncio.get_running_loop()
        # Also for what looks like an address: 0x7f.1 and 2130706433 are ones to the system.
        rows = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        self._addresses.check(target, found)
        return found

    async def _exchange(
        self,
        method: str,
        url: str,
        target: Target,
        found: list[str],
        headers: Mapping[str, str] | None,
        data: bytes | None,
        max_bytes: int,
    ) -> Reply:
        # A connector for each request: nothing is shared between those who caused them.
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(found), use_dns_cache=False, ssl=self._tls, socket_factory=self._guard(target)
        )
        async with (
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, headers=_HEADERS
            ) as session,
            session.request(
                method, url, headers=headers, data=data, allow_redirects=False, max_line_size=8190
            ) as response,
        ):
            return Reply(response.status, dict(response.headers), await _body(response, target, max_bytes))

    def _guard(self, target: Target) -> aiohttp.SocketFactoryType:
        """The last look, at the address that is really connected to, however it got there."""

        def make(info: aiohttp.AddrInfoType) -> socket.socket:
            family, kind, protocol, _, address = info
            self._addresses.check(target, [str(address[0])])
            made = socket.socket(family, kind, protocol)
            made.setblocking(False)
            return made

        return make


class _Pinned(AbstractResolver):
    """Knows one answer: the addresses that were checked."""

    def __init__(self, found: list[str]) -> None:
        self._found = found

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._found
        ]

    async def close(self) -> None:
        return None


async def _body(response: aiohttp.ClientResponse, target: Target, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(16 * 1024):
        size += len(part)
        if size > max_bytes:
            raise _failed(target, f"the answer is longer than {max_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return _system_tls()
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError):
        detail = f"outbound_ca_file {str(ca_file)!r} holds no PEM certificates that can be read."
        raise FarsiteError(ErrorCode.SETTING_INVALID, detail) from None
    return context


@cache
def _system_tls() -> ssl.SSLContext:
    """Read once: reading all authorities takes a while."""
    return ssl.create_default_context()


def _reason(error: Exception) -> str:
    """Of few words of our own: what the other end said stays there."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError | ConnectionError):
        return "it cannot be connected to"
    if isinstance(error, OSError):
        return "its name is not known" if isinstance(error, socket.gaierror) else "the connection broke"
    return "it does not answer as HTTP"


def _failed(target: Target, why: str) -> FarsiteError:
    return FarsiteError(ErrorCode.OUTBOUND_FAILED, f"{target.host[:200]}:{target.port}: {why}.")
