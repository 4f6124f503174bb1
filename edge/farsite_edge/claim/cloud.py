"""HTTP to the cloud, through the site's proxy where there is one."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ValidationError

from farsite_signaling.peer.http_proxy import connector, proxy_options
from farsite_signaling.peer.proxy import parse_proxy
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, Problem

TIMEOUT = 20.0
MAX_ANSWER = 256 * 1024
Answer = TypeVar("Answer", bound=BaseModel)


def normal_cloud_url(text: str, *, allow_http: bool) -> str:
    """The cloud's address without a trailing slash; `https://` when no scheme is given.

    Raises `setting_invalid`. Unprotected HTTP is for this very machine, or when the settings allow it: whoever
    answers to a claim becomes the authority this edge host trusts.
    """
    text = text.strip()
    text = (text if "://" in text else f"https://{text}").rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _bad_url("it is not an address") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise _bad_url("write it as https://host[:port]")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise _bad_url(
            "http:// is not protected. Use https://, or set FARSITE_EDGE_ALLOW_HTTP_CLOUD=true for a trial network"
        )
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bad_url(reason: str) -> FarsiteError:
    return FarsiteError(ErrorCode.SETTING_INVALID, f"The cloud's address is not usable: {reason}.")


class CloudHttp:
    """A short-lived HTTP client for one cloud. `async with`."""

    def __init__(self, url: str, *, proxy: str | None, ca: Path | None) -> None:
        self.url = url
        self._proxy = parse_proxy(proxy) if proxy else None
        self._ca = ca
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> CloudHttp:
        self._session = aiohttp.ClientSession(
            connector=connector(self._proxy, cloud_tls(self._ca)),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def date(self) -> str | None:
        """The cloud's `Date` header."""
        _, headers, _ = await self._request("GET", "/healthz")
        date: str | None = headers.get("Date")
        return date

    async def post(
        self, path: str, body: dict[str, Any], answer: type[Answer], *, key: str | None = None
    ) -> Answer:
        """`key` makes a repetition harmless. Raises `FarsiteError` with the cloud's own code, or why it was not
        reached."""
        status, headers, data = await self._request("POST", path, body, key)
        if status >= 400:
            raise self._refused(status, headers, data)
        try:
            return answer.model_validate_json(data)
        except ValidationError:
            raise self._not_a_cloud() from None

    async def _request(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, Any, bytes]:
        assert self._session is not None, "used outside `async with`"
        options: dict[str, Any] = {"json": body} if body is not None else {}
        options |= proxy_options(self._proxy, tunnelled=self.url.startswith("https:"))
        if key is not None:
            options["headers"] = {**options.get("headers", {}), "Idempotency-Key": key}
        try:
            async with self._session.request(
                method, self.url + path, allow_redirects=False, **options
            ) as response:
                data = await response.content.read(MAX_ANSWER + 1)
                while len(data) <= MAX_ANSWER and (more := await response.content.read(MAX_ANSWER)):
                    data += more
                return response.status, response.headers, data
        except (
            aiohttp.ClientError,
            OSError,
            ssl.SSLError,
            TimeoutError,
            asyncio.IncompleteReadError,
        ) as error:
            raise self._unreachable(error) from error

    def _refused(self, status: int, headers: Any, data: bytes) -> FarsiteError:
        if status == 407:
            return self._proxy_password()
        if headers.get("Content-Type", "").startswith("application/problem+json"):
            try:
                return FarsiteError.from_problem(Problem.model_validate_json(data))
            except ValidationError:
                pass
        if status in (502, 503, 504):
            return FarsiteError(
                ErrorCode.CLOUD_UNREACHABLE,
                f"{self.url} answered {status}: not available now. Try again soon.",
            )
        return self._not_a_cloud()

    def _unreachable(self, error: BaseException) -> FarsiteError:
        if isinstance(error, aiohttp.ClientHttpProxyError):
            if error.status == 407:
                return self._proxy_password()
            return self._proxy_failed(f"it answered {error.status} {error.message}")
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return self._proxy_failed(error.os_error.strerror or str(error.os_error))
        if isinstance(error, FarsiteError):
            return error
        if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
            return FarsiteError(
                ErrorCode.CERTIFICATE_INVALID,
                f"The TLS certificate of {self.url} is not trusted: {_reason(error)}. If the cloud has an authority of "
                "its own, name its certificate in FARSITE_EDGE_CLOUD_CA; otherwise something between inspects TLS.",
            )
        reason = "no answer in time" if isinstance(error, TimeoutError) else _reason(error)
        return FarsiteError(
            ErrorCode.CLOUD_UNREACHABLE,
            f"{self.url} cannot be reached: {reason}. Check the address, the network and the proxy address.",
        )

    def _proxy_password(self) -> FarsiteError:
        return FarsiteError(
            ErrorCode.PROXY_AUTHENTICATION,
            f"The proxy {self._proxy} refuses the user name or password. Correct the proxy address.",
        )

    def _proxy_failed(self, reason: str) -> FarsiteError:
        return FarsiteError(
            ErrorCode.PROXY_UNREACHABLE, f"The proxy {self._proxy} cannot be used: {reason[:200]}."
        )

    def _not_a_cloud(self) -> FarsiteError:
        return FarsiteError(
            ErrorCode.CLOUD_UNREACHABLE,
            f"{self.url} does not answer like a Farsite cloud. Check the address.",
        )


def _reason(error: BaseException) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(cause, socket.gaierror):
        return "its name cannot be resolved (DNS)"
    text = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or str(cause)
    return str(text or type(error).__name__)[:200]


def cloud_tls(ca: Path | None) -> ssl.SSLContext:
    """Raises `setting_invalid` for a file that cannot be used."""
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise FarsiteError(
                ErrorCode.SETTING_INVALID, f"Setting 'cloud_ca': {ca} holds no usable certificate: {error}."
            ) from None
    return context
