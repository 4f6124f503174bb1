"""Whether this cloud asks for licences, whose keys it takes, and where an organization stands."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from farsite_cloud.database import Scope
from farsite_cloud.edge_hosts.models import EdgeHost
from farsite_cloud.edge_hosts.service import EdgeHosts
from farsite_cloud.licences.counting import Counts, Facts, Holder, Lot, Standing, evaluate, unlicensed
from farsite_cloud.licences.models import Licence, LicenceRecord, LicenceReservation
from farsite_cloud.organizations.models import Organization
from farsite_cloud.settings import CloudSettings
from farsite_signaling.identity.licences import AuthorityPublicKey, key_id, load_authority_public
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.licence import LicenceKind

_REMEMBERED_FOR = timedelta(seconds=60)
_MOST_REMEMBERED = 10_000
_END = b"-----END PUBLIC KEY-----"
# A clock that is corrected goes back a little.
_TOLERANCE = timedelta(minutes=5)


class DeviceCounts(Protocol):
    """What an organization's devices need, by edge host, in the order in which they are served."""

    async def needed(self, scope: Scope) -> Mapping[str, Counts]: ...


class ReportedCounts:
    """As edge hosts report to manage, those of other makers apart; who was claimed first is served first."""

    async def needed(self, scope: Scope) -> Mapping[str, Counts]:
        edges = await EdgeHosts(Scope(scope.session, scope.organization_id)).everywhere()
        return {edge.id: _needed(edge) for edge in edges}


def _needed(edge: EdgeHost) -> Counts:
    others = edge.devices_other
    return {LicenceKind.DEVICE: edge.devices_managed - others, LicenceKind.UNIVERSAL: others}


class Licensing:
    """Standings are remembered for a minute: edge hosts ask often."""

    def __init__(
        self,
        *,
        on: bool = False,
        keys: Mapping[str, AuthorityPublicKey] | None = None,
        trial: timedelta = timedelta(days=30),
        counts: DeviceCounts | None = None,
        cloud: str = "",
    ) -> None:
        self.on = on
        self.cloud = cloud
        """This cloud's address, as licences name it."""
        self.keys = keys or {}
        self._trial = trial
        self._counts = counts or ReportedCounts()
        self._remembered: OrderedDict[str, Standing] = OrderedDict()

    @classmethod
    def of(cls, settings: CloudSettings, cloud: str = "") -> Licensing:
        """Raises `setting_invalid` for keys that cannot be used."""
        keys = read_keys(settings.licence_keys)
        if settings.licensing == "on" and not keys:
            detail = "Setting 'licensing' is on: name the licence authority's public key in 'licence_keys'."
            raise FarsiteError(ErrorCode.SETTING_INVALID, detail)
        trial = timedelta(days=settings.licence_trial_days)
        return cls(on=settings.licensing == "on", keys=keys, trial=trial, cloud=cloud)

    async def standing(self, scope: Scope, organization: Organization, now: datetime) -> Standing:
        if not self.on:
            return unlicensed(now)
        known = self._remembered.get(organization.id)
        if known is not None and abs(now - known.now) < _REMEMBERED_FOR:
            return known
        return await self.evaluate(scope, organization, now)

    async def evaluate(self, scope: Scope, organization: Organization, now: datetime) -> Standing:
        """Anew."""
        if not self.on:
            return unlicensed(now)
        record = await scope.find(LicenceRecord, organization.id)
        facts = await self._facts(scope, organization, record)
        found = evaluate(facts, effective(now, record))
        self._remembered[organization.id] = found
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return found

    def forget(self, organization_id: str) -> None:
        """Something changed: what is asked next is worked out anew."""
        self._remembered.pop(organization_id, None)

    async def _facts(self, scope: Scope, organization: Organization, record: LicenceRecord | None) -> Facts:
        whole = Scope(scope.session, organization.id)
        lots = await whole.all(whole.select(Licence))
        reserved = {row.id: row for row in await whole.all(whole.select(LicenceReservation))}
        needed = await self._counts.needed(whole)
        return Facts(
            lots=[Lot(LicenceKind(one.kind), one.count, one.starts_at, one.ends_at) for one in lots],
            holders=[Holder(edge, counts, _first(reserved.get(edge))) for edge, counts in needed.items()],
            trial_until=organization.created_at + self._trial if self._trial else None,
            covered_at=record.covered_at if record is not None else None,
        )


def _first(row: LicenceReservation | None) -> Counts:
    if row is None:
        return {}
    return {LicenceKind.DEVICE: row.device, LicenceKind.UNIVERSAL: row.universal}


def effective(now: datetime, record: LicenceRecord | None) -> datetime:
    """A clock that was set back wins no time: it stands still here until it has caught up."""
    return now if record is None else max(now, record.seen_at)


def behind(now: datetime, record: LicenceRecord | None) -> float:
    """Seconds the clock is behind what it was before; 0 within what a correction takes."""
    late = timedelta() if record is None else record.seen_at - now
    return late.total_seconds() if late > _TOLERANCE else 0.0


def read_keys(files: list[str]) -> dict[str, AuthorityPublicKey]:
    """Public keys in PEM, several in a file for rotation. Raises `setting_invalid`."""
    found: dict[str, AuthorityPublicKey] = {}
    for name in files:
        try:
            parts = Path(name).read_bytes().split(_END)[:-1]
            keys = [load_authority_public(part.lstrip() + _END) for part in parts]
        except OSError as error:
            raise _bad_file(name, error.strerror or "it cannot be read") from None
        except FarsiteError as error:
            raise _bad_file(name, error.detail) from None
        if not keys:
            raise _bad_file(name, "there is no public key in it")
        found |= {key_id(key): key for key in keys}
    return found


def _bad_file(name: str, reason: str) -> FarsiteError:
    return FarsiteError(ErrorCode.SETTING_INVALID, f"Setting 'licence_keys': {name}: {reason.rstrip('.')}.")
