"""HTTP as this package's clients speak it: answers become models, every failure a `FarsiteError`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError, Problem

ModelT = TypeVar("ModelT", bound=BaseModel)
MAX_JSON = 32 * 1024 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10, sock_read=60)
_BY_STATUS = {
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    413: ErrorCode.TOO_LARGE,
    429: ErrorCode.RATE_LIMITED,
    503: ErrorCode.UNAVAILABLE,
    504: ErrorCode.TIMEOUT,
}


def reveal(body: BaseModel) -> dict[str, Any]:
    """A request as JSON, its secrets in clear: they are what the request is for."""
    dumped: dict[str, Any] = body.model_dump(mode="json", exclude_unset=True)
    return {name: _revealed(getattr(body, name, value), value) for name, value in dumped.items()}


def _revealed(value: Any, dumped: Any) -> Any:
    """At any depth: a secret dumps as stars."""
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return reveal(value)
    if isinstance(value, list | tuple) and isinstance(dumped, list):
        return [_revealed(one, other) for one, other in zip(value, dumped, strict=True)]
    return dumped


async def read_limited(response: aiohttp.ClientResponse, limit: int = MAX_JSON) -> bytes:
    """The body, at most `limit` bytes. Raises `FarsiteError` (`too_large`)."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            raise FarsiteError(ErrorCode.TOO_LARGE, f"The answer has more than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


async def raise_for_problem(response: aiohttp.ClientResponse, asked: str) -> None:
    """Raise the error the other side answered; `asked` names it where the answer does not."""
    if response.status < 400:
        return
    if response.status == 407:
        raise proxy_refused()
    body = await read_limited(response, 256 * 1024)
    if response.content_type == "application/problem+json":
        raise _problem(body, response)
    code = _BY_STATUS.get(response.status, ErrorCode.INTERNAL)
    raise FarsiteError(
        code,
        f"{asked} answered HTTP {response.status} {response.reason or ''}, not as a Farsite server would. "
        "Check the address and what stands between (a proxy or load balancer).",
        retry_after=retry_after(response.headers),
    )


def _problem(body: bytes, response: aiohttp.ClientResponse) -> FarsiteError:
    try:
        error = FarsiteError.from_problem(Problem.model_validate_json(body))
    except ValidationError:
        error = FarsiteError(_BY_STATUS.get(response.status, ErrorCode.INTERNAL), "The error cannot be read.")
    if error.retry_after is None:
        error.retry_after = retry_after(response.headers)
    return error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of `Retry-After` (RFC 9110 10.2.3); its date form is not used by Farsite."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def parse(model: type[ModelT], body: bytes, asked: str) -> ModelT:
    """Raises `FarsiteError` (`protocol_error`) when the answer is not what the API promises."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FarsiteError(
            ErrorCode.PROTOCOL_ERROR,
            f"The answer of {asked} is not understood ({where}: {first['msg']}). Is it a Farsite server of a "
            "version this one knows?",
        ) from None


def proxy_refused() -> FarsiteError:
    return FarsiteError(
        ErrorCode.PROXY_AUTHENTICATION,
        "The proxy refused: user name or password are missing or wrong. Give them as "
        "--proxy http://user:password@host:port (or FARSITE_CLIENT_PROXY).",
    )


@asynccontextmanager
async def failures(asked: str, unreachable: ErrorCode, *, proxy: str | None = None) -> AsyncIterator[None]:
    """Turn aiohttp's and the system's errors into `FarsiteError`; `asked` is the host in the user's words.

    `proxy`: host and port of the proxy that was gone through.
    """
    try:
        yield
    except FarsiteError:
        raise  # a stream's reset is an OSError too
    except (aiohttp.ClientError, OSError) as error:
        # TimeoutError is an OSError since Python 3.11.
        if proxy is not None and _is_about(error, proxy):
            raise _no_proxy(error) from error
        raise from_client_error(error, asked, unreachable) from error


def from_client_error(error: Exception, asked: str, unreachable: ErrorCode) -> FarsiteError:
    if (said := _said_below(error)) is not None:
        return said
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _from_proxy_answer(error)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _no_proxy(error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _untrusted(asked, error.certificate_error)
    if isinstance(error, aiohttp.ClientSSLError):
        return FarsiteError(
            unreachable, f"{asked} does not speak TLS as it should: {_reason(error)}. Is it an HTTPS port?"
        )
    if isinstance(error, asyncio.TimeoutError):
        return FarsiteError(unreachable, f"{asked} did not answer in time.")
    if isinstance(error, aiohttp.InvalidURL):
        return FarsiteError(ErrorCode.INVALID_REQUEST, f"{asked} is not an address that can be asked.")
    return FarsiteError(unreachable, f"{asked} cannot be reached: {_reason(error)}.")


def _is_about(error: Exception, proxy: str) -> bool:
    """A name that cannot be resolved: aiohttp does not say whose it is, only which."""
    return isinstance(error, aiohttp.ClientConnectorDNSError) and proxy == f"{error.host}:{error.port}"


def _no_proxy(error: Exception) -> FarsiteError:
    return FarsiteError(ErrorCode.PROXY_UNREACHABLE, f"The proxy cannot be reached: {_reason(error)}.")


def _said_below(error: BaseException) -> FarsiteError | None:
    """The tunnel's own word on why a connection ended, which aiohttp wraps."""
    below = error.__cause__
    while below is not None and not isinstance(below, FarsiteError):
        below = below.__cause__
    return below


def _from_proxy_answer(error: aiohttp.ClientHttpProxyError) -> FarsiteError:
    if error.status == 407:
        return proxy_refused()
    return FarsiteError(
        ErrorCode.PROXY_UNREACHABLE, f"The proxy refused the connection: HTTP {error.status} {error.message}."
    )


def _untrusted(asked: str, error: Exception) -> FarsiteError:
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return FarsiteError(
        ErrorCode.CERTIFICATE_INVALID,
        f"The TLS certificate of {_inside(asked)} is not trusted: {reason.rstrip('.')}. If its authority is your own, "
        "name it with --ca-file FILE (or FARSITE_CLIENT_CA_FILE); if it has expired or is not valid yet, check "
        "this machine's clock.",
    )


def _inside(asked: str) -> str:
    """`asked` within a sentence."""
    return f"the {asked[4:]}" if asked.startswith("The ") else asked


def _reason(error: BaseException) -> str:
    os_error = getattr(error, "os_error", None)
    picked = os_error if isinstance(os_error, OSError) else error
    text = _said_by_system(picked) or str(picked) or type(picked).__name__
    return " ".join(str(text).split()).rstrip(".")


def _said_by_system(error: BaseException) -> str | None:
    """asyncio's own `strerror` is "Connect call failed (address)"; the number says why."""
    if not isinstance(error, OSError) or isinstance(error, socket.gaierror | ssl.SSLError):
        return getattr(error, "strerror", None)
    return os.strerror(error.errno) if error.errno else error.strerror
