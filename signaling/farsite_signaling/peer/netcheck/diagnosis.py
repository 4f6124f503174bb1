"""Certificates that were not accepted: what is wrong, whose certificate it is, and what to do."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from socket import socket

from cryptography import x509
from cryptography.x509.oid import NameOID

from farsite_signaling.identity.certificates import DAMAGED

# X.509 verification results of OpenSSL (openssl-verification-options(1), x509_vfy.h).
_PROBLEMS: dict[int, tuple[str, str]] = {
    9: (
        "it is not valid yet",
        "Check this machine's clock: it is probably behind (NTP).",
    ),
    10: (
        "it has expired",
        "Renew the certificate. Check this machine's clock too: one that is ahead sees expired certificates.",
    ),
    62: ("it is for another host name", "Use the name in the certificate, or one that includes this name."),
}
_PROBLEMS[64] = _PROBLEMS[62]
_UNKNOWN = (
    "it is signed by an authority this machine does not know",
    "Name the authority's certificate (--ca-file, FARSITE_EDGE_CLOUD_CA). A proxy or firewall that inspects TLS has one "
    "of its own: exempt this host from inspection, or trust that authority.",
)
for _code in (18, 19, 20, 21):
    _PROBLEMS[_code] = _UNKNOWN


def certificate_problem(error: ssl.SSLCertVerificationError, shown: Shown | None = None) -> tuple[str, str]:
    """Detail and fix."""
    other = (error.verify_message, "Check the certificate and this machine's clock.")
    problem, fix = _PROBLEMS.get(error.verify_code, other)
    whose = "" if shown is None else f" ({shown.describe()})"
    return f"the certificate is not accepted: {problem}{whose}", fix


@dataclass(frozen=True)
class Shown:
    """What the other side shows to anybody; `clock_offset` is its clock minus ours by an answer nobody vouches for."""

    certificate: x509.Certificate
    clock_offset: float | None = None

    def describe(self) -> str:
        ends = f"{self.certificate.not_valid_before_utc:%Y-%m-%d} to {self.certificate.not_valid_after_utc:%Y-%m-%d}"
        return f"issued by {_common_name(self.certificate.issuer)!r}, valid {ends}"


async def shown_by(sock: socket, host: str, port: int) -> Shown | None:
    """Look at a certificate that was refused, and at the `Date` of an answer. Nothing secret is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=host)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError | ValueError):
            return None
        raise
    try:
        return await _look(reader, writer, host, port)
    finally:
        writer.transport.abort()


async def _look(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> Shown | None:
    binary = writer.get_extra_info("ssl_object").getpeercert(True)
    try:
        certificate = x509.load_der_x509_certificate(binary)
    except DAMAGED:
        return None
    return Shown(certificate, await _date_offset(reader, writer, f"{host}:{port}"))


async def _date_offset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> float | None:
    """RFC 9110, 6.6.1."""
    try:
        async with asyncio.timeout(1.0):
            request = f"HEAD /healthz HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode("ascii", "replace"))
            head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        date = {name.lower(): value for name, value in fields.items()}["date"]
        return parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
    except (OSError, ValueError, KeyError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None


def days_left(certificate: bytes) -> float | None:
    """Of a certificate in DER; `None` when it cannot be read."""
    try:
        ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except DAMAGED:
        return None
    return (ends - datetime.now(UTC)).total_seconds() / 86400


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME) or list(name)
    return str(found[0].value)[:100] if found else "nobody"
