"""Policies of an edge host: `edge.policies` of an `EdgeClient`.

policy = await edge.policies.create("security", "Hardened")
assigned = await edge.policies.assign(policy.id, ["B8A44F673CF5"])
await edge.tasks.wait(assigned.task.id)
print((await edge.policies.hardening()).score)
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Protocol
from urllib.parse import quote

from farsite_client.edge_tasks import Ask
from farsite_signaling.wire.edge_tasks import Task
from farsite_signaling.wire.policy_api import (
    ApplyTemplate,
    AssignResults,
    DevicePolicies,
    DevicePolicy,
    DriftReport,
    HardeningReport,
    Policy,
    PolicyChange,
    PolicyCreate,
    PolicyDeviceIds,
    PolicyDevices,
    PolicyKind,
    PolicyKinds,
    PolicyList,
    PolicyMode,
    PolicyState,
    PolicyTemplate,
    Selection,
    TemplateResult,
)


class Fetch(Protocol):
    """The answer as it is."""

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str: ...


class PolicyClient:
    """`revision` in edits and deletions: only if nobody changed the policy meanwhile (else `precondition_failed`)."""

    def __init__(self, ask: Ask, fetch: Fetch) -> None:
        self._ask = ask
        self._fetch = fetch

    async def kinds(self) -> list[PolicyKind]:
        return (await self._ask("GET", "/policy-kinds", PolicyKinds)).kinds

    async def all(self, kind: str | None = None) -> list[Policy]:
        found: list[Policy] = []
        query = {"kind": kind} if kind else {}
        while True:
            page = await self._ask("GET", "/policies", PolicyList, query=query)
            found += page.policies
            if page.next_cursor is None:
                return found
            query["cursor"] = page.next_cursor

    async def get(self, policy: str) -> Policy:
        return await self._ask("GET", _policy(policy), Policy)

    async def create(
        self,
        kind: str,
        name: str,
        settings: Mapping[str, Any] | None = None,
        *,
        mode: PolicyMode = PolicyMode.ENFORCE,
    ) -> Policy:
        """Without settings it has the recommended ones."""
        given = dict(settings) if settings is not None else None
        request = PolicyCreate(kind=kind, name=name, mode=mode, settings=given)
        return await self._ask("POST", "/policies", Policy, request, headers=_once())

    async def change(self, policy: str, change: PolicyChange, *, revision: int | None = None) -> Policy:
        return await self._ask("PATCH", _policy(policy), Policy, change, headers=_match(revision))

    async def delete(self, policy: str, *, revision: int | None = None) -> None:
        """Devices keep the settings."""
        await self._fetch("DELETE", _policy(policy), headers=_match(revision))

    # Devices

    async def results(self, policy: str, state: PolicyState | None = None) -> list[DevicePolicy]:
        """What the policy is worth on each of its devices."""
        pages = self._pages(f"{_policy(policy)}/devices", {"state": state.value} if state else {})
        async with aclosing(pages):
            return [one async for page in pages for one in page.results]

    async def _pages(self, path: str, query: dict[str, str]) -> AsyncGenerator[DevicePolicies, None]:
        while True:
            page = await self._ask("GET", path, DevicePolicies, query=query)
            yield page
            if page.next_cursor is None:
                return
            query = {**query, "cursor": page.next_cursor}

    async def of_device(self, device: str) -> list[DevicePolicy]:
        path = f"/devices/{quote(device, safe='')}/policies"
        return (await self._ask("GET", path, DevicePolicies)).results

    async def assign(self, policy: str, devices: Iterable[str], *, replace: bool = False) -> AssignResults:
        """Apply it to devices; `task` of the answer carries it out."""
        request = PolicyDevices(ids=list(devices), replace=replace)
        return await self._ask("POST", f"{_policy(policy)}/devices", AssignResults, request)

    async def unassign(self, policy: str, devices: Iterable[str] = ()) -> AssignResults:
        """None named: all of its devices. They keep the settings."""
        request = PolicyDeviceIds(ids=list(devices))
        return await self._ask("DELETE", f"{_policy(policy)}/devices", AssignResults, request)

    async def apply(self, policy: str, devices: Iterable[str] = ()) -> Task:
        """Now, without waiting for the schedule."""
        request = PolicyDeviceIds(ids=list(devices))
        return await self._ask("POST", f"{_policy(policy)}/apply", Task, request, headers=_once())

    # Documents and reports

    async def template(self, policy: str) -> PolicyTemplate:
        return await self._ask("GET", f"{_policy(policy)}/template", PolicyTemplate)

    async def apply_template(
        self,
        template: PolicyTemplate,
        selection: Selection | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> TemplateResult:
        request = ApplyTemplate(
            template=template, selection=selection or Selection(), secrets=dict(secrets or {})
        )
        return await self._ask("POST", "/policy-templates", TemplateResult, request, headers=_once())

    async def drift(self) -> DriftReport:
        return await self._ask("GET", "/policy-drift", DriftReport)

    async def drift_csv(self) -> str:
        return await self._fetch("GET", "/policy-drift", query={"format": "csv"})

    async def hardening(self) -> HardeningReport:
        return await self._ask("GET", "/hardening", HardeningReport)

    async def hardening_csv(self) -> str:
        return await self._fetch("GET", "/hardening", query={"format": "csv"})


def _policy(policy: str) -> str:
    return f"/policies/{quote(policy, safe='')}"


def _once() -> dict[str, str]:
    """Sent again after a broken connection, the request does nothing twice."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def _match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}
