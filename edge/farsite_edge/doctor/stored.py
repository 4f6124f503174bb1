"""What the data folder holds, read beside a running edge host: who it is, its certificates, its devices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from farsite_edge.core import EdgeCore
from farsite_edge.devices import Registry
from farsite_edge.identity.keeper import KEY_FILE as IDENTITY_FILE
from farsite_edge.identity.renewal import renewal_time
from farsite_edge.settings import EdgeSettings
from farsite_edge.store.database import FILE as DATABASE_FILE
from farsite_edge.store.vault import KEY_FILE as VAULT_FILE
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.netcheck import CheckRow, failed, passed, warned

_CLAIM_AGAIN = "Claim this edge host again with a new setup code: farsite edge claim CODE --cloud URL --again"
_TROUBLED = (
    DeviceState.UNREACHABLE,
    DeviceState.CREDENTIALS_REQUIRED,
    DeviceState.SETUP_REQUIRED,
    DeviceState.CERTIFICATE_CHANGED,
)
MOST_NAMED = 5


@dataclass(frozen=True)
class Stored:
    core: EdgeCore
    registry: Registry


@asynccontextmanager
async def stored(settings: EdgeSettings) -> AsyncIterator[Stored]:
    """Without the folder's lock: nothing is made or changed. Raises `not_found`, `storage_failed`."""
    for name in (DATABASE_FILE, VAULT_FILE, IDENTITY_FILE):
        if not (settings.data_dir / name).exists():
            detail = f"{settings.data_dir / name} does not exist"
            raise FarsiteError(ErrorCode.NOT_FOUND, detail)
    core = EdgeCore(settings)
    async with core.database:
        await core.facts.load()
        core.vault.load()
        await core.keeper.load()
        registry = Registry(core.database)
        await registry.load()
        yield Stored(core, registry)


def database_row(settings: EdgeSettings) -> CheckRow:
    """Opening it ran SQLite's own check already."""
    path = settings.data_dir / DATABASE_FILE
    return passed("database", f"{path} is sound ({path.stat().st_size / 1024:.0f} KiB)")


def missing_row(settings: EdgeSettings, error: FarsiteError) -> CheckRow:
    if error.code is ErrorCode.NOT_FOUND and not (settings.data_dir / DATABASE_FILE).exists():
        text = f"no edge host has run with the data folder {settings.data_dir}"
        return warned(
            "database", text, "Start it: farsite edge run. Another folder is named with --data-dir."
        )
    return failed(
        "database", error.detail, "Put back a copy of the data folder, or claim this edge host again."
    )


def certificate_rows(core: EdgeCore, now: datetime | None = None) -> list[CheckRow]:
    now = now or datetime.now(UTC)
    claim = core.keeper.claim
    if claim is None:
        text = "this edge host is not claimed: it has no certificate of an organization"
        return [warned("certificate", text, "Claim it: farsite edge claim CODE --cloud URL")]
    return [
        certificate_row(core.keeper.certificate, now),
        authority_row(load_certificate(claim.ca), now),
    ]


def certificate_row(certificate: x509.Certificate, now: datetime) -> CheckRow:
    name, ends = "certificate", f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    due, latest = renewal_time(certificate, 0.0), renewal_time(certificate, 1.0)
    if now > certificate.not_valid_after_utc:
        return failed(name, f"expired on {ends}", f"Check this machine's clock. {_CLAIM_AGAIN}")
    if now < certificate.not_valid_before_utc:
        text = f"not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return failed(name, text, "This machine's clock is behind: set it (NTP).")
    if now > latest:
        text = f"good until {ends}, but its renewal has been due since {due:%Y-%m-%d}"
        return warned(
            name, text, "Keep the edge host running and let it reach the cloud (see the rows of the hub)."
        )
    return passed(name, f"good until {ends}, renewed from {due:%Y-%m-%d} on")


def authority_row(ca: x509.Certificate, now: datetime) -> CheckRow:
    name, ends = "authority", f"{ca.not_valid_after_utc:%Y-%m-%d}"
    left = (ca.not_valid_after_utc - now).days
    if left < 0:
        return failed(name, f"the organization's authority expired on {ends}", _CLAIM_AGAIN)
    if left < 90:
        return warned(
            name, f"the organization's authority expires on {ends}", "Ask the cloud's operator to renew it."
        )
    return passed(name, f"the organization's authority is good until {ends}")


async def connection_rows(core: EdgeCore) -> list[CheckRow]:
    shown = await core.preferences.shown()
    if shown.remote_access:
        access = passed("remote access", "on")
    else:
        access = warned(
            "remote access",
            "off: nobody reaches this site from outside",
            "Switch it on, if that is wanted: farsite edge settings --remote-access on",
        )
    return [access, passed("proxy address", shown.proxy_address or "none set")]


def device_row(registry: Registry) -> CheckRow:
    managed = registry.all(managed=True)
    troubled = [record for record in managed if record.state in _TROUBLED]
    if not troubled:
        count = registry.count(managed=False)
        return passed("devices", f"{len(managed)} managed, all fine; {count} more discovered")
    named = ", ".join(f"{one.id} {one.address} {one.state}" for one in troubled[:MOST_NAMED])
    more = f" and {len(troubled) - MOST_NAMED} more" if len(troubled) > MOST_NAMED else ""
    fix = (
        "Unreachable: check power, network and that TCP 80/443 (or the device's own ports) is open from this machine. "
        "Others: farsite device log-in / set-up."
    )
    return warned("devices", f"{len(troubled)} of {len(managed)} managed are in trouble: {named}{more}", fix)
