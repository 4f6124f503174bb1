"""What a kind of policy is: how its settings are checked, compared with a device and brought about there.

The machine (`machine.py`) decides when; a kind says what. Everything a kind does to a device goes through `DeviceAccess`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.policies.access import DeviceAccess
from farsite_signaling.wire.edge_tasks import Rollout
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import PolicyState, SettingInfo

Settings = dict[str, Any]
Facts = Any
"""What a kind's `read` found out; only the same kind looks into it."""


@dataclass(frozen=True)
class Wanted:
    """Settings as `validate` returned them; `secrets` are opened from the vault for the time of the work."""

    policy: str
    settings: Settings
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Finding:
    """One setting compared with one device: `compliant`, `deviating`, `not_supported`, or `failed` when it must not or
    cannot be brought in line, and why. No secret is ever in `wanted` or `found`."""

    setting: str
    state: PolicyState
    wanted: str = ""
    found: str = ""
    detail: str = ""
    weight: int = 0


class Step(BaseModel):
    """One change of a device, stored before it is begun: it must hold all that is needed to check and to undo it after
    a crash, and no secret. `settings` are those it brings in line. A `risky` one may lock us out: it is checked with a
    new log-in, and undone when that fails. `seconds` limits each call of the kind for it; after `recovers` seconds the
    device goes back by itself."""

    model_config = ConfigDict(extra="ignore")

    name: str
    title: str
    settings: list[str]
    values: dict[str, Any] = Field(default_factory=dict)
    before: dict[str, Any] = Field(default_factory=dict)
    risky: bool = False
    seconds: float = 60.0
    recovers: float = 0.0


class Kind(Protocol):
    """`read`, `apply`, `verify` and `undo` talk to the device and raise `FarsiteError` with a `device_…` code, or
    `ApiError`; the rest is free of I/O. All must stand being called again after a crash."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def exclusive(self) -> bool:
        """A device has at most one policy of this kind."""
        ...

    @property
    def secrets(self) -> Sequence[str]:
        """Settings that are texts for the vault: in `settings` they are only `True`."""
        ...

    def describe(self) -> list[SettingInfo]: ...

    def recommended(self) -> Settings: ...

    def validate(self, settings: Settings, secrets: Mapping[str, str]) -> Settings:
        """In their normal form. `secrets` are those given now. Raises `invalid_request` for what makes no sense."""
        ...

    def rollout(self, settings: Settings) -> Rollout:
        """How its tasks go through their devices: how many at a time, in which window."""
        ...

    async def warnings(self, settings: Settings) -> list[str]:
        """What is right in itself and cannot be carried out here as things are. Raises `storage_failed`."""
        ...

    async def read(self, access: DeviceAccess, wanted: Wanted) -> Facts: ...

    def evaluate(self, wanted: Wanted, facts: Facts) -> list[Finding]: ...

    def plan(self, wanted: Wanted, facts: Facts, findings: Sequence[Finding], *, careful: bool) -> list[Step]:
        """Steps for the `deviating` findings, in the order in which they cannot lock us out. `careful`: after a first
        attempt that did not work, one step for each setting, so that it is clear which one is refused."""
        ...

    async def apply(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None: ...

    async def verify(self, access: DeviceAccess, wanted: Wanted, step: Step) -> str | None:
        """`None` when the step has taken effect and we can still log in; else why not."""
        ...

    async def undo(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None: ...


class Kinds:
    """The kinds this edge host knows, by name."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._kinds = {kind.name: kind for kind in kinds}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def add(self, kind: Kind) -> None:
        self._kinds[kind.name] = kind

    def find(self, name: str) -> Kind | None:
        return self._kinds.get(name)

    def get(self, name: str) -> Kind:
        """Raises `invalid_request`."""
        kind = self._kinds.get(name)
        if kind is None:
            known = ", ".join(self._kinds)
            raise FarsiteError(
                ErrorCode.INVALID_REQUEST,
                f"There are no policies of the kind {name[:64]!r}. There are: {known}.",
            )
        return kind
