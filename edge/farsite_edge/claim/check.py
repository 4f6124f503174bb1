"""What an answer to a claim or renewal must prove before it is believed."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from farsite_edge.claim.record import ClaimRecord
from farsite_signaling.identity import Identity, OrganizationTrust, load_public_key
from farsite_signaling.identity.keys import PrivateKey
from farsite_signaling.wire.cloud_api import ClaimResult
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS
from farsite_signaling.wire.ids import EdgeName, PeerName


def check_clock(server_time: datetime, now: datetime) -> None:
    """Raises `clock_skew` when the two clocks are more than five minutes apart."""
    if server_time.tzinfo is None:
        server_time = server_time.replace(tzinfo=UTC)
    off = (now - server_time).total_seconds()
    if abs(off) > LEEWAY_SECONDS:
        side = "ahead of" if off > 0 else "behind"
        raise FarsiteError(
            ErrorCode.CLOCK_SKEW,
            f"This machine's clock is {abs(off):.0f} s {side} the cloud's. Set the clock (NTP) and try again.",
        )


def check_date_header(header: str | None, now: datetime) -> None:
    """The same by an HTTP `Date` (RFC 9110, 6.6.1), which costs no setup code. Absent or odd ones say nothing."""
    try:
        date = parsedate_to_datetime(header) if header else None
    except ValueError:
        date = None
    if date is not None:
        check_clock(date, now)


def check_claim(result: ClaimResult, key: PrivateKey, cloud_url: str, now: datetime) -> ClaimRecord:
    """The record to keep. Raises `clock_skew`, `certificate_invalid`, `certificate_expired`."""
    check_clock(result.server_time, now)
    name = check_certificate(result.certificate, result.ca, key, now)
    if name != EdgeName(name.org, name.edge) or str(name) != result.name:
        raise _unusable("its certificate carries another name than the answer")
    if (name.org, name.edge) != (result.organization_id, result.edge_id):
        raise _unusable("its certificate is for another edge host or organization")
    load_public_key(result.grant_key)
    return ClaimRecord(
        cloud_url=cloud_url,
        hub_url=_hub_url(result.hub_url),
        urn=result.name,
        edge_id=result.edge_id,
        edge_name=result.edge_name[:100],
        organization_id=result.organization_id,
        organization_name=result.organization_name[:100],
        certificate=result.certificate,
        ca=result.ca,
        grant_key=result.grant_key,
        claimed_at=now,
    )


def check_certificate(certificate: str, ca: str, key: PrivateKey, now: datetime) -> EdgeName:
    """For our key, from this authority, valid now, and an edge host's."""
    Identity.from_pem(key, certificate)
    name: PeerName
    name, _ = OrganizationTrust(ca).verify(certificate, now)
    if not isinstance(name, EdgeName):
        raise _unusable("its certificate is not an edge host's")
    return name


def _hub_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname or len(url) > 2000:
        raise _unusable("its hub address is not usable")
    return url


def _unusable(reason: str) -> FarsiteError:
    return FarsiteError(
        ErrorCode.CERTIFICATE_INVALID,
        f"The cloud's answer is not accepted: {reason}. Check that the cloud's address is right; this edge host "
        "stays as it was.",
    )
