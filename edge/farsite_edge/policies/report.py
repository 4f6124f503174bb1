"""For auditors: what is other than wanted and since when, and how hardened devices and site are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from farsite_edge.devices import Registry
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.policies.kind import Kinds
from farsite_edge.policies.record import DeviceRow, PolicyRecord, StoredSetting
from farsite_edge.policies.store import PolicyStore
from farsite_signaling.rest.csv_table import csv_text
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.policy_api import DriftReport, DriftRow, HardeningReport, PolicyState, ScoreRow

SCORED = "security"
"""The kind whose settings make the score."""
DRIFT_COLUMNS = tuple(DriftRow.model_fields)
SCORE_COLUMNS = tuple(ScoreRow.model_fields)
Sees = Callable[[str], bool]


class PolicyReports:
    def __init__(self, store: PolicyStore, kinds: Kinds, registry: Registry) -> None:
        self._store = store
        self._kinds = kinds
        self._registry = registry

    def drift(self, edge: str, sees: Sees) -> DriftReport:
        """Settings that are other than wanted, on the devices a caller sees."""
        rows = [
            row
            for record in self._store.all()
            for device in self._store.devices(record.id)
            if sees(device.device)
            for row in self._drift_of(record, device)
        ]
        return DriftReport(edge=edge, at=datetime.now(UTC), rows=rows)

    def _drift_of(self, record: PolicyRecord, row: DeviceRow) -> Iterable[DriftRow]:
        device = self._device(row.device)
        for one in row.result.settings:
            if device is not None and one.state in (PolicyState.DEVIATING, PolicyState.FAILED):
                yield DriftRow(
                    device=row.device,
                    model=device.model,
                    address=device.address,
                    policy=record.id,
                    policy_name=record.name,
                    mode=record.mode,
                    setting=one.setting,
                    title=self._titles(record.kind).get(one.setting, one.setting),
                    state=one.state,
                    wanted=one.wanted,
                    found=one.found,
                    since=one.since,
                    checked_at=row.result.checked_at,
                    detail=one.detail,
                )

    def hardening(self, edge: str, sees: Sees) -> HardeningReport:
        """By the settings of the security policy of each device; what a device has not costs nothing."""
        devices = [one for one in self._registry.all(managed=True) if sees(one.id)]
        rows = [self._score(device) for device in devices]
        assessed = [row for row in rows if row.score is not None]
        points, possible = sum(row.points for row in assessed), sum(row.possible for row in assessed)
        return HardeningReport(
            edge=edge,
            at=datetime.now(UTC),
            score=_percent(points, possible),
            explained=_explained(len(rows), len(assessed), points, possible),
            devices=len(rows),
            assessed=len(assessed),
            rows=rows,
        )

    def _score(self, device: DeviceRecord) -> ScoreRow:
        names = ("model", "product", "version", "address")
        empty = ScoreRow(device=device.id, **{name: getattr(device, name) for name in names})
        record = self._store.of_kind(SCORED, device.id)
        row = self._store.row(record.id, device.id) if record is not None else None
        if record is None or row is None:
            return empty.model_copy(update={"missing": ["It has no security policy."]})
        known = empty.model_copy(update={"policy": record.id, "policy_name": record.name})
        if row.result.checked_at is None or not row.result.settings:
            return known.model_copy(update={"missing": [row.result.detail or "It has not been checked yet."]})
        return known.model_copy(update=self._points(record, row))

    def _points(self, record: PolicyRecord, row: DeviceRow) -> dict[str, object]:
        counted = [one for one in row.result.settings if one.state is not PolicyState.NOT_SUPPORTED]
        lost = [one for one in counted if not one.state.good]
        possible = sum(one.weight for one in counted)
        points = possible - sum(one.weight for one in lost)
        titles = self._titles(record.kind)
        return {
            "score": _percent(points, possible),
            "points": points,
            "possible": possible,
            "deviating": len(lost),
            "not_supported": len(row.result.settings) - len(counted),
            "checked_at": row.result.checked_at,
            "missing": [_lost(one, titles) for one in sorted(lost, key=lambda one: -one.weight)],
        }

    def _titles(self, kind: str) -> dict[str, str]:
        found = self._kinds.find(kind)
        return {one.name: one.title for one in found.describe()} if found is not None else {}

    def _device(self, device: str) -> DeviceRecord | None:
        try:
            return self._registry.get(device)
        except FarsiteError:
            return None


def _percent(points: int, possible: int) -> int | None:
    """Rounded down: 100 means all of it."""
    return points * 100 // possible if possible else None


def _lost(one: StoredSetting, titles: dict[str, str]) -> str:
    found = f", is {one.found}" if one.found else ""
    return f"{titles.get(one.setting, one.setting)} (-{one.weight}): wanted {one.wanted}{found}"


def _explained(devices: int, assessed: int, points: int, possible: int) -> str:
    if not assessed:
        return "No device has been compared with a security policy yet."
    left = devices - assessed
    rest = f"; {left} of {devices} devices were never compared and are not in it" if left else ""
    return (
        f"{points} of {possible} points of the settings that {assessed} devices support{rest}. Each setting of a policy "
        "has a weight; one that is not as wanted loses it, one the device does not have costs nothing."
    )


def drift_csv(report: DriftReport) -> str:
    return csv_text(DRIFT_COLUMNS, (_cells(row, DRIFT_COLUMNS) for row in report.rows))


def score_csv(report: HardeningReport) -> str:
    return csv_text(SCORE_COLUMNS, (_cells(row, SCORE_COLUMNS) for row in report.rows))


def _cells(row: DriftRow | ScoreRow, columns: tuple[str, ...]) -> list[object]:
    values = row.model_dump(mode="json")
    return ["; ".join(value) if isinstance(value := values[name], list) else value for name in columns]
