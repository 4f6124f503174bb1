"""A site with a small kind of policy; crashes and power cuts at a moment of choice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from farsite_edge.policies import Finding, PolicyService, Step, Wanted
from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.record import PolicyRecord, Result
from farsite_edge.simulator import Simulator, describe
from farsite_signaling.wire.edge_tasks import Rollout, Task, TaskDevice
from farsite_signaling.wire.policy_api import (
    PolicyCreate,
    PolicyMode,
    PolicyState,
    SettingInfo,
    SettingKind,
    SettingResult,
)
from tests.edge.crashing_site import CrashingSite

MODEL = "P3265-V"
SAFE, RISKY = "System.AccessLog", "Network.SSH.Enabled"
"""Parameters the small kind sets: the second one as if it could lock us out."""
WANTED = {SAFE: "On", RISKY: "yes"}


class SmallKind:
    """Parameters by name; those in `risky` are checked with a log-in and undone. One policy of a device at a time."""

    name = "small"
    title = "Small"
    exclusive = True
    secrets: tuple[str, ...] = ()
    risky = (RISKY,)

    def describe(self) -> list[SettingInfo]:
        return [SettingInfo(name=name, title=name, kind=SettingKind.TEXT) for name in WANTED]

    def recommended(self) -> dict[str, Any]:
        return dict(WANTED)

    def validate(self, settings: dict[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
        return {name: str(value) for name, value in settings.items()}

    def rollout(self, settings: dict[str, Any]) -> Rollout:
        return Rollout(parallel=16, max_failures=5000)

    async def warnings(self, settings: dict[str, Any]) -> list[str]:
        return []

    async def read(self, access: DeviceAccess, wanted: Wanted) -> dict[str, str]:
        async with access.client() as client:
            return dict(await client.parameters(*wanted.settings))

    def evaluate(self, wanted: Wanted, facts: dict[str, str]) -> list[Finding]:
        return [_found(name, value, facts.get(name)) for name, value in wanted.settings.items()]

    def plan(
        self, wanted: Wanted, facts: dict[str, str], findings: Sequence[Finding], *, careful: bool
    ) -> list[Step]:
        off = [one.setting for one in findings if one.state is PolicyState.DEVIATING]
        safe = [name for name in off if name not in self.risky]
        groups = [[name] for name in safe] if careful else [safe] if safe else []
        return [
            _step(wanted, facts, names, risky=names[0] in self.risky)
            for names in [*groups, *([name] for name in off if name in self.risky)]
        ]

    async def apply(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        async with access.client() as client:
            await client.update_parameters(step.values)

    async def verify(self, access: DeviceAccess, wanted: Wanted, step: Step) -> str | None:
        async with access.client() as client:
            now = await client.parameters(*step.values)
        return None if now == step.values else "It reads back otherwise."

    async def undo(self, access: DeviceAccess, wanted: Wanted, step: Step) -> None:
        async with access.client() as client:
            await client.update_parameters(step.before)


def _found(name: str, value: str, found: str | None) -> Finding:
    if found is None:
        return Finding(name, PolicyState.NOT_SUPPORTED, value)
    state = PolicyState.COMPLIANT if found == value else PolicyState.DEVIATING
    return Finding(name, state, value, found, weight=10)


def _step(wanted: Wanted, facts: dict[str, str], names: list[str], *, risky: bool) -> Step:
    return Step(
        name=names[0],
        title=f"Sets {', '.join(names)}.",
        settings=names,
        values={name: wanted.settings[name] for name in names},
        before={name: facts[name] for name in names},
        risky=risky,
        seconds=5,
    )


class Rig(CrashingSite):
    quiet: ClassVar = CrashingSite.quiet | {
        "policy_poll": 600,
        "policy_recover_timeout": 3,
        "device_timeout": 3,
    }

    @property
    def service(self) -> PolicyService:
        return self.edge.host.policies.service

    async def start(self) -> None:
        await super().start()
        self.edge.host.policies.kinds.add(SmallKind())

    async def policy(
        self,
        settings: dict[str, Any] | None = None,
        *,
        kind: str = "small",
        mode: PolicyMode = PolicyMode.ENFORCE,
        name: str = "Ours",
        apply: bool = True,
    ) -> PolicyRecord:
        request = PolicyCreate(kind=kind, name=name, mode=mode, settings=settings)
        record = await self.service.create(request, actor="test")
        if apply:
            results = await self.service.assign(record.id, self.ids)
            assert all(one.ok for one in results), results
        return record

    async def run(self, policy: PolicyRecord) -> tuple[Task, TaskDevice]:
        task = await self.begin(policy)
        return await self.finished(task), await self.row(task)

    async def begin(self, policy: PolicyRecord) -> str:
        record = await self.service.check(policy.id, actor="test")
        assert record is not None
        return record.id

    def result(self, policy: PolicyRecord, device: str | None = None) -> Result:
        row = self.service.store.row(policy.id, device or self.device.serial)
        assert row is not None
        return row.result

    def setting(self, policy: PolicyRecord, name: str) -> SettingResult:
        return next(one for one in self.result(policy).settings if one.setting == name)


@asynccontextmanager
async def rig_of(
    folder: Path, *models: str, count: int = 1, https: bool = False, **settings: Any
) -> AsyncIterator[Rig]:
    described = [replace(one, boot_seconds=0.2) for one in describe(count, models or (MODEL,))]
    async with Simulator(described, https=https) as simulator:
        rig = Rig(folder, simulator, settings)
        await rig.start()
        try:
            await rig.manage()
            yield rig
        finally:
            await rig.stop()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_of(tmp_path) as made:
        yield made
