"""One bounded HTTP exchange with a device; every failure becomes a `FarsiteError`."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from ipaddress import ip_address
from typing import Any

import aiohttp
from yarl import URL

from farsite_edge.vapix.errors import Silent, bad_answer
from farsite_edge.vapix.request import Answer, ApiRequest
from farsite_edge.vapix.text import clean
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

CONNECT_TIMEOUT = 3.0
TOTAL_TIMEOUT = 15.0
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?")


def device_url(secure: bool, address: str, port: int, request: ApiRequest[Any]) -> URL:
    """The URL of a request; its `raw_path_qs` is exactly what is sent and signed."""
    url = URL.build(scheme="https" if secure else "http", host=address, port=port, path=request.path)
    return url.with_query(request.query()) if request.query() else url


def check_address(address: str) -> str:
    """An IP address or a host name, nothing that could change a URL. Raises `invalid_request`."""
    try:
        ip_address(address)
    except ValueError:
        if len(address) > 253 or not _HOST_NAME.fullmatch(address):
            raise FarsiteError(
                ErrorCode.INVALID_REQUEST, f"{clean(address, 60)!r} is not an address of a device."
            ) from None
    return address


def check_port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{port} is not a port: 1 to 65535.")
    return port


async def exchange(
    session: aiohttp.ClientSession,
    url: URL,
    request: ApiRequest[Any],
    *,
    authorization: str | None = None,
    trust: aiohttp.Fingerprint | None = None,
    timeout: float = TOTAL_TIMEOUT,
    verify: bool = True,
) -> tuple[Answer, list[str]]:
    """Send once. Returns the answer and its `WWW-Authenticate` headers. Redirects are not followed: a device
    has no reason to send its caller, who holds a password, to another place. `trust` is the certificate to insist
    on; `verify=False` takes any, for questions without secrets."""
    with device_errors(url, timeout):
        async with session.request(
            request.method,
            url,
            data=request.body() if request.length() is None else request.stream(),
            headers=_headers(request, authorization),
            allow_redirects=False,
            ssl=trust if trust is not None else verify,
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_TIMEOUT, timeout)),
        ) as response:
            body = await _read(response, request.limit)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, body, headers), response.headers.getall("WWW-Authenticate", [])


@asynccontextmanager
async def streaming(
    session: aiohttp.ClientSession,
    url: URL,
    request: ApiRequest[Any],
    *,
    authorization: str | None,
    trust: aiohttp.Fingerprint | None,
    first_byte: float,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer too large to hold. `first_byte` seconds may pass until it begins."""
    async with AsyncExitStack() as stack:
        with device_errors(url, first_byte):
            async with asyncio.timeout(first_byte):
                response = await stack.enter_async_context(
                    session.request(
                        request.method,
                        url,
                        headers=_headers(request, authorization),
                        allow_redirects=False,
                        ssl=trust if trust is not None else True,
                        timeout=aiohttp.ClientTimeout(
                            total=None, sock_connect=CONNECT_TIMEOUT, sock_read=first_byte
                        ),
                    )
                )
        yield response


async def parts(response: aiohttp.ClientResponse, limit: int, idle: float) -> AsyncIterator[bytes]:
    """Raises `device_…` when it breaks off, stalls for `idle` seconds or grows over `limit` bytes."""
    size = 0
    with device_errors(response.url, idle):
        while True:
            async with asyncio.timeout(idle):
                part = await response.content.readany()
            if not part:
                return
            size += len(part)
            if size > limit:
                raise bad_answer(f"more than the {limit // (1024 * 1024)} MiB an answer may have")
            yield part


def _headers(request: ApiRequest[Any], authorization: str | None) -> dict[str, str]:
    # Compression is not asked for, so that few bytes cannot become many.
    headers = {"Accept-Encoding": "identity", "User-Agent": "farsite"}
    if request.content_type:
        headers["Content-Type"] = request.content_type
    if (length := request.length()) is not None:
        headers["Content-Length"] = str(length)
    if authorization:
        headers["Authorization"] = authorization
    return headers


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            _hang_up(response)
            raise bad_answer(f"more than the {limit // 1024} KiB an answer may have")
        chunks.append(chunk)
    return b"".join(chunks)


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """At once: a TLS connection closed in peace is read from for half a minute, as long as the device goes on."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


@contextmanager
def device_errors(url: URL, timeout: float) -> Iterator[None]:
    """Turns what aiohttp and sockets raise into `device_…` errors."""
    try:
        yield
    except aiohttp.ServerFingerprintMismatch:
        raise certificate_changed() from None
    except (aiohttp.ClientSSLError, ssl.SSLError) as error:
        reason = clean(str(getattr(error, "reason", "") or error), 100)
        raise _unreachable(f"TLS failed at port {url.port} ({reason}). Check the HTTPS port.") from None
    except TimeoutError:
        raise Silent(url.port, timeout) from None
    except (aiohttp.ClientConnectionError, OSError) as error:
        raise _unreachable(
            f"Port {url.port} cannot be reached ({_reason(error)}). Check address and port."
        ) from None
    except aiohttp.ClientPayloadError:
        raise _unreachable("The connection broke in the middle of an answer. Try again.") from None
    except (aiohttp.ClientError, ValueError, asyncio.IncompleteReadError, RecursionError):
        # aiohttp raises ValueError for headers it cannot make sense of
        raise bad_answer("something that is not HTTP") from None


def certificate_changed() -> FarsiteError:
    return FarsiteError(
        ErrorCode.DEVICE_CERTIFICATE_CHANGED,
        "Its certificate is not the one remembered. If you replaced it, accept the new one; if not, something is between "
        "the edge host and the device. Nothing secret was sent.",
    )


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return clean(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__, 100)


def _unreachable(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.DEVICE_UNREACHABLE, detail)
