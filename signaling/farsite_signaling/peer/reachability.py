"""What went wrong on the way to the hub, in words an administrator can act on."""

from __future__ import annotations

import socket
import ssl

from python_socks import ProxyConnectionError
from websockets.exceptions import (
    InvalidHandshake,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
)

from farsite_signaling.peer.proxy import Proxy
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

# X.509 verification results of OpenSSL (openssl-verification-options(1), x509_vfy.h).
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNKNOWN_AUTHORITY = {18, 19, 20, 21}
_WRONG_NAME = {62, 64}
# SOCKS5 replies that are about the destination (RFC 1928, 6): network or host unreachable, refused, TTL expired.
_BEYOND_PROXY = {3, 4, 5, 6}
_MAX_RETRY_AFTER = 60.0


def explain(error: Exception, host: str, proxy: Proxy | None) -> FarsiteError:
    """`host`: the hub's host and port. The result never holds the proxy's password."""
    if isinstance(error, FarsiteError):
        return error
    if isinstance(error, InvalidProxyStatus) and proxy is not None:
        return _proxy_status(error.response.status_code, host, proxy)
    if isinstance(error, ProxyError) and proxy is not None:
        return _proxy_refusal(error, host, proxy)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unreachable(f"The TLS certificate of {host} was not accepted: {_certificate(error)}")
    if isinstance(error, InvalidStatus):
        return _status(error, host)
    return _no_connection(error, host, proxy)


def _no_connection(error: Exception, host: str, proxy: Proxy | None) -> FarsiteError:
    if proxy is not None and _is_at_proxy(error, proxy):
        return FarsiteError(
            ErrorCode.PROXY_UNREACHABLE,
            f"The proxy {proxy.address} cannot be reached: {_reason(error)}. Check the proxy address and that the "
            "proxy is running.",
        )
    way = "" if proxy is None else f" through the proxy {proxy.address}"
    return _unreachable(f"The cloud at {host} cannot be reached{way}: {_reason(error)}.")


def _is_at_proxy(error: Exception, proxy: Proxy) -> bool:
    """TCP and DNS happen at the proxy; TLS and what follows, beyond it."""
    if proxy.is_socks:
        return isinstance(error, (ProxyConnectionError, socket.gaierror))
    return isinstance(error, OSError) and not isinstance(error, (ssl.SSLError, TimeoutError))


def _reason(error: Exception) -> str:
    match error:
        case socket.gaierror():
            return "its name cannot be resolved (DNS)"
        case TimeoutError():
            return "no answer in time"
        case ConnectionRefusedError():
            return "the connection was refused"
        case ConnectionResetError() | EOFError():
            return "the connection was cut"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or 'unknown reason'})"
        case InvalidHandshake() if isinstance(error.__cause__, (EOFError, ConnectionError)):
            return "the connection was cut"
        case InvalidHandshake():
            return f"it does not speak WebSocket ({error})"
        case OSError():
            return error.strerror or str(error)[:200] or "the connection failed"
        case _:
            return type(error).__name__


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    clock = "Check this machine's clock too"
    if code == _EXPIRED:
        return f"it has expired. Renew it. {clock}: one that is ahead sees expired certificates."
    if code == _NOT_YET_VALID:
        return f"it is not valid yet. {clock}: it is probably behind."
    if code in _WRONG_NAME:
        return "it is for another host name. Use the name in the certificate, or one that includes this name."
    if code in _UNKNOWN_AUTHORITY:
        return (
            "it is signed by an authority this machine does not know. Install the authority's certificate; a proxy "
            "that inspects TLS has one of its own."
        )
    return f"{error.verify_message}. {clock}."


def _status(error: InvalidStatus, host: str) -> FarsiteError:
    status = error.response.status_code
    if status == 403:
        return FarsiteError(ErrorCode.FORBIDDEN, f"The cloud at {host} does not let this program connect.")
    if status == 404:
        return _unreachable(f"There is no signaling hub at {host} (HTTP 404). Check the cloud's address.")
    return FarsiteError(
        ErrorCode.CLOUD_UNREACHABLE,
        f"The cloud at {host} answered HTTP {status} instead of opening the connection.",
        retry_after=_retry_after(error.response.headers.get("Retry-After")),
    )


def _retry_after(header: str | None) -> float | None:
    """Seconds; the header's other form, a date, is not used by hubs (RFC 9110, 10.2.3)."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 6:
        return None
    return min(float(header), _MAX_RETRY_AFTER)


def _proxy_status(status: int, host: str, proxy: Proxy) -> FarsiteError:
    if status == 407:
        return _proxy_authentication(proxy)
    if status in (502, 503, 504):
        return _unreachable(f"The proxy {proxy.address} cannot reach the cloud at {host} (HTTP {status}).")
    return FarsiteError(
        ErrorCode.PROXY_UNREACHABLE,
        f"The proxy {proxy.address} refuses connections to {host} (HTTP {status}). Allow CONNECT to it there.",
    )


def _proxy_refusal(error: ProxyError, host: str, proxy: Proxy) -> FarsiteError:
    reason = str(error.__cause__ or error)
    if getattr(error.__cause__, "error_code", None) in _BEYOND_PROXY:
        return _unreachable(f"The proxy {proxy.address} cannot reach the cloud at {host}: {reason}.")
    if isinstance(error, InvalidProxyMessage):
        reason = "it does not answer like an HTTP proxy"
    elif "authentication" in reason.lower():
        return _proxy_authentication(proxy)
    return FarsiteError(
        ErrorCode.PROXY_UNREACHABLE, f"The proxy {proxy.address} does not connect to {host}: {reason}."
    )


def _proxy_authentication(proxy: Proxy) -> FarsiteError:
    tried = "no user name is set" if proxy.username is None else f"for user {proxy.username!r}"
    return FarsiteError(
        ErrorCode.PROXY_AUTHENTICATION,
        f"The proxy {proxy.address} asks for another user name or password ({tried}).",
    )


def _unreachable(detail: str) -> FarsiteError:
    return FarsiteError(ErrorCode.CLOUD_UNREACHABLE, detail)
