"""Policies and what they are worth on devices, as they are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from farsite_edge.policies.kind import Finding
from farsite_signaling.wire.policy_api import (
    DevicePolicy,
    Policy,
    PolicyCounts,
    PolicyMode,
    PolicyState,
    SettingResult,
)

MAX_FAILURES = 3
"""So often a setting is tried by itself; then only when a user says so, or policy or firmware have changed."""
_WORST_FIRST = (
    PolicyState.FAILED,
    PolicyState.DEVIATING,
    PolicyState.PENDING,
    PolicyState.APPLIED,
    PolicyState.COMPLIANT,
    PolicyState.NOT_SUPPORTED,
)


class PolicyRecord(BaseModel):
    """`secrets` maps settings to names in the vault; in `settings` they are `True`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    kind: str
    name: str
    mode: PolicyMode
    settings: dict[str, Any]
    secrets: dict[str, str] = Field(default_factory=dict)
    revision: int = 1
    created_at: datetime
    changed_at: datetime
    created_by: str = ""
    session: str | None = None
    template: str | None = None
    template_revision: int = 0

    @property
    def enforced(self) -> bool:
        return self.mode is PolicyMode.ENFORCE

    def shown(self, results: Iterable[DeviceRow]) -> Policy:
        counts = Counter(row.result.state.value for row in results)
        values = self.model_dump(exclude={"secrets", "session", "template_revision"})
        return Policy(**values, devices=counts.total(), counts=PolicyCounts(**counts))


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """As `SettingResult`. `failures`: how often in a row it could not be applied. A site has tens of thousands of them in
    memory: hence no model of its own for each, and one for all devices on which a setting is the same."""

    setting: str
    state: PolicyState
    wanted: str = ""
    found: str = ""
    detail: str = ""
    since: datetime | None = None
    weight: int = 0
    failures: int = 0


@lru_cache(maxsize=4096)
def _shared(one: StoredSetting) -> StoredSetting:
    return one


class Result(BaseModel):
    """What was last seen of a policy on a device; `version` is the firmware's then."""

    model_config = ConfigDict(extra="ignore")

    state: PolicyState = PolicyState.PENDING
    detail: str = ""
    code: str | None = None
    checked_at: datetime | None = None
    applied_at: datetime | None = None
    revision: int = 0
    version: str = ""
    settings: list[Annotated[StoredSetting, AfterValidator(_shared)]] = Field(default_factory=list)

    def tired(self, revision: int, version: str) -> frozenset[str]:
        """Settings not to be tried again by themselves."""
        if (self.revision, self.version) != (revision, version):
            return frozenset()
        return frozenset(one.setting for one in self.settings if one.failures >= MAX_FAILURES)

    def unseen(self, detail: str, code: str | None) -> Result:
        """The device could not be looked at: what was known of it stays, the whole is pending."""
        return self.model_copy(update={"state": PolicyState.PENDING, "detail": detail, "code": code})


class DeviceRow(BaseModel):
    """A device a policy is applied to."""

    policy: str
    device: str
    result: Result = Field(default_factory=Result)

    def shown(self, record: PolicyRecord) -> DevicePolicy:
        values = self.result.model_dump(exclude={"settings", "version"})
        settings = [SettingResult.model_validate(one, from_attributes=True) for one in self.result.settings]
        return DevicePolicy(
            policy=record.id,
            policy_name=record.name,
            kind=record.kind,
            mode=record.mode,
            device=self.device,
            settings=settings,
            **values,
        )


def compared(
    before: Result,
    findings: Iterable[Finding],
    *,
    now: datetime,
    revision: int,
    version: str,
    enforced: bool,
    changed: Iterable[str] = (),
    reasons: Mapping[str, str] | None = None,
    given_up: Iterable[str] = (),
) -> Result:
    """The result after a look. `since` of a setting that was other than wanted before stays."""
    changes, why, lost = set(changed), reasons or {}, set(given_up)
    known = {one.setting: one for one in before.settings}
    counts_on = before.revision == revision and before.version == version
    settings = [
        _setting(
            replace(one, state=PolicyState.DEVIATING) if one.setting in lost else one,
            known.get(one.setting),
            now,
            enforced,
            changes,
            why,
            counts_on,
        )
        for one in findings
    ]
    return Result(
        state=worst(one.state for one in settings),
        checked_at=now,
        applied_at=now if changes else before.applied_at,
        revision=revision,
        version=version,
        settings=settings,
    )


def _setting(
    one: Finding,
    before: StoredSetting | None,
    now: datetime,
    enforced: bool,
    changed: set[str],
    reasons: Mapping[str, str],
    counts_on: bool,
) -> StoredSetting:
    state, detail, failures = one.state, one.detail, 0
    if state is PolicyState.COMPLIANT and one.setting in changed:
        state = PolicyState.APPLIED
    if state is PolicyState.COMPLIANT and before is not None and before.state is PolicyState.APPLIED:
        state = PolicyState.APPLIED  # it is so because of the policy, still
    if state is PolicyState.DEVIATING and enforced:
        state = PolicyState.FAILED
        detail = reasons.get(one.setting) or detail or "The device reads back otherwise than it was told."
        failures = 1 + (before.failures if before is not None and counts_on else 0)
    off = state in (PolicyState.DEVIATING, PolicyState.FAILED)
    since = (before.since if before is not None else None) or now if off else None
    return StoredSetting(
        setting=one.setting,
        state=state,
        wanted=one.wanted,
        found=one.found,
        detail=detail,
        since=since,
        weight=one.weight,
        failures=failures,
    )


def worst(states: Iterable[PolicyState]) -> PolicyState:
    """Of a device, from those of its settings: good ones count more than what is not supported."""
    seen = set(states)
    return next((state for state in _WORST_FIRST if state in seen), PolicyState.COMPLIANT)
