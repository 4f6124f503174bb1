"""REST schemas of policies on an edge host (`/api/v1/policies`, `/api/v1/policy-kinds`, `/api/v1/hardening`).

A policy is settings of one kind that are compared with devices, and with `enforce` written to them, again and again.
`PolicyTemplate` is the same as a document, without secrets: what the cloud sends to many edge hosts.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from farsite_signaling.wire.edge_tasks import MAX_DEVICES, Task
from farsite_signaling.wire.ids import Id, Name
from farsite_signaling.wire.schema import _Request, _Schema

MAX_SETTINGS = 200


class PolicyMode(StrEnum):
    """`report_only` writes nothing to a device."""

    ENFORCE = "enforce"
    REPORT_ONLY = "report_only"


class PolicyState(StrEnum):
    """Of one setting on one device, and of the device as a whole. `applied` is compliant because the policy made it so;
    `deviating` is not as wanted, and nothing was written (report only)."""

    PENDING = "pending"
    COMPLIANT = "compliant"
    APPLIED = "applied"
    DEVIATING = "deviating"
    NOT_SUPPORTED = "not_supported"
    FAILED = "failed"

    @property
    def good(self) -> bool:
        return self in (PolicyState.COMPLIANT, PolicyState.APPLIED)


class SettingKind(StrEnum):
    SWITCH = "switch"
    CHOICE = "choice"
    NUMBER = "number"
    TEXT = "text"
    LIST = "list"
    OBJECT = "object"
    SECRET = "secret"


class SettingInfo(_Schema):
    """One setting a policy of a kind may have; `recommended` is null for those that are left alone by default."""

    name: str
    title: str
    group: str = ""
    kind: SettingKind
    choices: list[str] = Field(default_factory=list)
    recommended: Any = None
    weight: int = Field(default=0, description="points in the hardening score")
    about: str = ""
    warning: str = Field(default="", description="what may stop working")
    sure: str = Field(
        default="", description="how sure the way to set it is: R, D, C, K or I (docs/policies.md)"
    )


class PolicyKind(_Schema):
    name: str
    title: str
    exclusive: bool = Field(description="a device has at most one policy of this kind")
    settings: list[SettingInfo] = Field(default_factory=list)


class PolicyKinds(_Schema):
    kinds: list[PolicyKind]


class PolicyCreate(_Request):
    """Without `settings` the policy has the recommended ones of its kind."""

    kind: Id
    name: Name = Field(max_length=100)
    mode: PolicyMode = PolicyMode.ENFORCE
    settings: dict[str, Any] | None = Field(default=None, max_length=MAX_SETTINGS)


class PolicyChange(_Request):
    """Fields left out stay. `settings` replaces all of them; a secret given as `true` stays as it is."""

    name: Name | None = Field(default=None, max_length=100)
    mode: PolicyMode | None = None
    settings: dict[str, Any] | None = Field(default=None, max_length=MAX_SETTINGS)


class PolicyCounts(_Schema):
    pending: int = 0
    compliant: int = 0
    applied: int = 0
    deviating: int = 0
    not_supported: int = 0
    failed: int = 0


class Policy(_Schema):
    """Secrets among `settings` are shown as `true`."""

    id: str
    kind: str
    name: str
    mode: PolicyMode
    settings: dict[str, Any]
    revision: int
    created_at: datetime
    changed_at: datetime
    created_by: str = ""
    template: str | None = Field(default=None, description="id of the template it was made from")
    devices: int = 0
    counts: PolicyCounts = Field(default_factory=PolicyCounts)
    warnings: list[str] = Field(
        default_factory=list, description="why it cannot be carried out as things are; not in lists"
    )


class PolicyList(_Schema):
    policies: list[Policy]
    next_cursor: str | None = None


class SettingResult(_Schema):
    """`since`: from when on the setting has been other than wanted."""

    setting: str
    state: PolicyState
    wanted: str = ""
    found: str = ""
    detail: str = ""
    since: datetime | None = None
    weight: int = 0


class DevicePolicy(_Schema):
    """What a policy is worth on one device. `revision` is the policy's at the time it was checked."""

    policy: str
    policy_name: str = ""
    kind: str = ""
    mode: PolicyMode = PolicyMode.ENFORCE
    device: str
    state: PolicyState
    detail: str = ""
    code: str | None = None
    checked_at: datetime | None = None
    applied_at: datetime | None = None
    revision: int = 0
    settings: list[SettingResult] = Field(default_factory=list)


class DevicePolicies(_Schema):
    results: list[DevicePolicy]
    next_cursor: str | None = None


class PolicyDevices(_Request):
    """`replace`: a device that has another policy of the same kind leaves that one."""

    ids: list[Id] = Field(min_length=1, max_length=MAX_DEVICES)
    replace: bool = False


class PolicyDeviceIds(_Request):
    """None named: all devices of the policy."""

    ids: list[Id] = Field(default_factory=list, max_length=MAX_DEVICES)


class AssignResult(_Schema):
    device: str
    ok: bool
    code: str | None = None
    detail: str = ""


class AssignResults(_Schema):
    """`task` evaluates the devices, and applies the policy where it is enforced."""

    results: list[AssignResult]
    task: Task | None = None


# Templates


class PolicyTemplate(_Schema):
    """A policy as a document. Secrets are not in it: `secrets` names those that have to be given anew. `id` and
    `revision` are the sender's: a template applied again changes the policy made from it before."""

    format: Literal["farsite.policy/1"] = "farsite.policy/1"
    id: Id | None = None
    revision: int = Field(default=1, ge=1)
    kind: Id
    name: Name = Field(max_length=100)
    mode: PolicyMode = PolicyMode.ENFORCE
    settings: dict[str, Any] = Field(default_factory=dict, max_length=MAX_SETTINGS)
    secrets: list[str] = Field(default_factory=list, max_length=20)


class Selection(_Request):
    """Managed devices: those named, those of a model, or all. `replace` as in `PolicyDevices`."""

    ids: list[Id] = Field(default_factory=list, max_length=MAX_DEVICES)
    models: list[str] = Field(default_factory=list, max_length=200)
    everything: bool = False
    replace: bool = False


class ApplyTemplate(_Request):
    """POST /policies/templates. `secrets` are kept sealed on the edge host only."""

    template: PolicyTemplate
    selection: Selection = Field(default_factory=Selection)
    secrets: dict[str, str] = Field(default_factory=dict, max_length=20, repr=False)


class TemplateResult(_Schema):
    policy: Policy
    results: list[AssignResult] = Field(default_factory=list)
    task: Task | None = None


# For auditors


class DriftRow(_Schema):
    """One setting of one device that is not as a policy wants it."""

    device: str
    model: str = ""
    address: str = ""
    policy: str
    policy_name: str
    mode: PolicyMode
    setting: str
    title: str = ""
    state: PolicyState
    wanted: str
    found: str
    since: datetime | None = None
    checked_at: datetime | None = None
    detail: str = ""


class DriftReport(_Schema):
    edge: str
    at: datetime
    rows: list[DriftRow]


class ScoreRow(_Schema):
    """`score` is null where no security policy has been checked yet. `missing` says what the lost points are for."""

    device: str
    model: str = ""
    product: str = ""
    version: str = ""
    address: str = ""
    policy: str | None = None
    policy_name: str = ""
    score: int | None = None
    points: int = 0
    possible: int = 0
    deviating: int = 0
    not_supported: int = 0
    checked_at: datetime | None = None
    missing: list[str] = Field(default_factory=list)


class HardeningReport(_Schema):
    """`score` of the site is that of all points together; devices never checked are counted apart."""

    edge: str
    at: datetime
    score: int | None = None
    explained: str = ""
    devices: int = 0
    assessed: int = 0
    rows: list[ScoreRow] = Field(default_factory=list)
