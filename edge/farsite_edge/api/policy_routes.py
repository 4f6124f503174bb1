"""Routes about policies. To change one, or what devices it has, all of its devices must be within the grant."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from farsite_edge.api.guard import PRINCIPAL
from farsite_edge.api.principal import Principal
from farsite_edge.api.task_routes import KEY, idempotency_key
from farsite_edge.audit import AuditLog
from farsite_edge.policies.host import PolicyHost
from farsite_edge.policies.record import PolicyRecord
from farsite_edge.tasks import TaskRecord, TaskRunner
from farsite_signaling.rest import Answer, Api, read_query
from farsite_signaling.rest.etags import IF_MATCH, check_if_match, etag
from farsite_signaling.wire.edge_tasks import Task
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import (
    ApplyTemplate,
    AssignResults,
    DevicePolicies,
    Policy,
    PolicyChange,
    PolicyCreate,
    PolicyDeviceIds,
    PolicyDevices,
    PolicyKinds,
    PolicyList,
    PolicyState,
    PolicyTemplate,
    TemplateResult,
)
from farsite_signaling.wire.rights import Right


class PolicyQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str | None = Field(default=None, max_length=64)
    cursor: str | None = Field(default=None, max_length=64)
    limit: int = Field(default=100, ge=1, le=500)


class ResultQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    state: PolicyState | None = None
    cursor: str | None = Field(default=None, max_length=64)
    limit: int = Field(default=200, ge=1, le=1000)


class ReportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["json", "csv"] = "json"


class PolicyRoutes:
    def __init__(self, host: PolicyHost, runner: TaskRunner, audit: AuditLog) -> None:
        self._service = host.service
        self._keeper = host.keeper
        self._store = host.store
        self._runner = runner
        self._audit = audit
        self._edits = asyncio.Lock()

    def api(self) -> Api:
        api = Api()
        read, manage = Right.DEVICE_READ, Right.POLICY_MANAGE
        route: Any = api.route
        route("GET", "/policy-kinds", need=read, response=PolicyKinds)(self.kinds)
        route("GET", "/policies", need=read, response=PolicyList, query=PolicyQuery)(self.policies)
        making = {"need": manage, "status": 201, "headers": (KEY,)}
        route("POST", "/policies", request=PolicyCreate, response=Policy, **making)(self.create)
        route("POST", "/policy-templates", request=ApplyTemplate, response=TemplateResult, **making)(
            self.apply_template
        )
        one = "/policies/{id}"
        route("GET", one, need=read, response=Policy)(self.policy)
        route("PATCH", one, need=manage, request=PolicyChange, response=Policy, headers=(IF_MATCH,))(
            self.change
        )
        route("DELETE", one, need=manage, headers=(IF_MATCH,))(self.delete)
        route("GET", f"{one}/devices", need=read, response=DevicePolicies, query=ResultQuery)(self.results)
        route("POST", f"{one}/devices", need=manage, request=PolicyDevices, response=AssignResults)(
            self.assign
        )
        route("DELETE", f"{one}/devices", need=manage, request=PolicyDeviceIds, response=AssignResults)(
            self.unassign
        )
        route("POST", f"{one}/apply", request=PolicyDeviceIds, response=Task, **making)(self.apply)
        route("GET", f"{one}/template", need=read, response=PolicyTemplate)(self.template)
        route("GET", "/devices/{id}/policies", need=read, response=DevicePolicies)(self.of_device)
        return api

    # Policies

    async def kinds(self, request: web.Request) -> PolicyKinds:
        """What policies there can be, with the settings of each and the recommended ones."""
        return PolicyKinds(kinds=self._service.described())

    async def policies(self, request: web.Request) -> PolicyList:
        """All policies, the oldest first."""
        query, principal = read_query(request, PolicyQuery), request[PRINCIPAL]
        found = [one for one in self._store.all() if query.kind in (None, one.kind)]
        start = _after([one.id for one in found], query.cursor)
        page = found[start : start + query.limit]
        more = start + query.limit < len(found)
        shown = [self._shown(one, principal) for one in page]
        return PolicyList(policies=shown, next_cursor=page[-1].id if more else None)

    async def create(self, request: web.Request, body: PolicyCreate) -> Answer:
        """Make a policy; it is applied to no device yet."""
        principal = request[PRINCIPAL]
        self._may_set_secrets(principal, body.kind, body.settings or {})
        await self._write(principal, "policy.create", body.name, {"kind": body.kind, "mode": body.mode.value})
        record = await self._service.create(
            body,
            actor=principal.actor,
            session=principal.session,
            idempotency=idempotency_key(request),
        )
        return await self._answer(record, principal)

    async def policy(self, request: web.Request) -> Answer:
        """One policy; secrets in its settings are shown as `true`."""
        record = self._record(request)
        return await self._answer(record, request[PRINCIPAL])

    async def change(self, request: web.Request, body: PolicyChange) -> Answer:
        """Edit a policy. Its devices are compared with it anew, and changed where it is enforced."""
        principal, record = request[PRINCIPAL], self._whole(request)
        self._may_set_secrets(principal, record.kind, body.settings or {})
        fields = [name for name, value in body.model_dump(exclude={"settings"}).items() if value is not None]
        details = {"fields": fields + sorted(body.settings or {})}
        async with self._edits:
            check_if_match(request, self._store.get(record.id).revision)
            await self._write(principal, "policy.change", record.name, details)
            record = await self._service.change(record.id, body)
        if body.mode is not None or body.settings is not None:
            await self._service.check(record.id, actor=principal.actor, session=principal.session)
        return await self._answer(record, principal)

    async def delete(self, request: web.Request) -> None:
        """Delete a policy. Devices keep the settings, which are enforced no more."""
        principal, record = request[PRINCIPAL], self._whole(request)
        async with self._edits:
            check_if_match(request, self._store.get(record.id).revision)
            await self._write(principal, "policy.delete", record.name, {})
            await self._service.delete(record.id)

    # Devices

    async def results(self, request: web.Request) -> DevicePolicies:
        """The devices of a policy, and what it is worth on each, setting by setting."""
        query, record = read_query(request, ResultQuery), self._record(request)
        rows = [row for row in self._store.devices(record.id) if request[PRINCIPAL].sees(row.device)]
        rows = [row for row in rows if query.state in (None, row.result.state)]
        start = _after([row.device for row in rows], query.cursor)
        page = rows[start : start + query.limit]
        more = start + query.limit < len(rows)
        shown = [row.shown(record) for row in page]
        return DevicePolicies(results=shown, next_cursor=page[-1].device if more else None)

    async def of_device(self, request: web.Request) -> DevicePolicies:
        """The policies of a device."""
        device = request.match_info["id"]
        if not request[PRINCIPAL].sees(device):
            raise FarsiteError(
                ErrorCode.DEVICE_UNKNOWN, f"There is no device {device[:64]} on this edge host."
            )
        rows = self._store.of_device(device)
        return DevicePolicies(results=[row.shown(self._store.get(row.policy)) for row in rows])

    async def assign(self, request: web.Request, body: PolicyDevices) -> AssignResults:
        """Apply a policy to devices."""
        principal, record = request[PRINCIPAL], self._record(request)
        await self._write(principal, "policy.assign", record.name, {"devices": len(set(body.ids))})
        results = await self._service.assign(record.id, body.ids, principal.sees, replace=body.replace)
        good = [one.device for one in results if one.ok]
        task = await self._service.check(record.id, good, actor=principal.actor, session=principal.session)
        return AssignResults(results=results, task=await self._task(task))

    async def unassign(self, request: web.Request, body: PolicyDeviceIds) -> AssignResults:
        """Take devices out of a policy; they keep the settings."""
        principal, record = request[PRINCIPAL], self._record(request)
        ids = body.ids or [row.device for row in self._store.devices(record.id)]
        await self._write(principal, "policy.unassign", record.name, {"devices": len(set(ids))})
        return AssignResults(results=await self._service.unassign(record.id, ids, principal.sees))

    async def apply(self, request: web.Request, body: PolicyDeviceIds) -> Task:
        """Compare devices with the policy now, and apply it where it is enforced; all of them when none is named."""
        principal, record = request[PRINCIPAL], self._record(request)
        rows = self._store.devices(record.id)
        ids = [
            row.device
            for row in rows
            if principal.sees(row.device) and row.device in (body.ids or (row.device,))
        ]
        await self._write(principal, "policy.apply", record.name, {"devices": len(ids)})
        task = await self._service.check(
            record.id,
            ids,
            actor=principal.actor,
            session=principal.session,
            idempotency=idempotency_key(request),
        )
        if task is None:
            raise FarsiteError(
                ErrorCode.CONFLICT, "The policy has no such device. Apply it to devices first."
            )
        return await self._runner.shown(task.id)

    # Templates

    async def template(self, request: web.Request) -> PolicyTemplate:
        """The policy as a document, without secrets."""
        return self._service.export(self._record(request).id)

    async def apply_template(self, request: web.Request, body: ApplyTemplate) -> TemplateResult:
        """Make a policy from a document, or change the one made from it before, and apply it to devices."""
        principal, document = request[PRINCIPAL], body.template
        self._may_set_secrets(principal, document.kind, {**document.settings, **body.secrets})
        details = {"kind": document.kind, "template": document.id or "", "revision": document.revision}
        await self._write(principal, "policy.template", document.name, details)
        known = self._store.of_template(document.id) if document.id else None
        if known is not None:
            self._check_whole(principal, known)
        async with self._edits:
            record, results, task = await self._service.apply_template(
                document,
                body.selection,
                principal.actor,
                session=principal.session,
                secrets=body.secrets,
                sees=principal.sees,
            )
        shown = await self._told(record, principal)
        return TemplateResult(policy=shown, results=results, task=await self._task(task))

    # How

    async def _task(self, task: TaskRecord | None) -> Task | None:
        return await self._runner.shown(task.id) if task is not None else None

    def _shown(self, record: PolicyRecord, principal: Principal) -> Policy:
        return record.shown(row for row in self._store.devices(record.id) if principal.sees(row.device))

    async def _told(self, record: PolicyRecord, principal: Principal) -> Policy:
        warnings = await self._service.warnings(record)
        return self._shown(record, principal).model_copy(update={"warnings": warnings})

    async def _answer(self, record: PolicyRecord, principal: Principal) -> Answer:
        return Answer(await self._told(record, principal), etag(record.revision))

    def _record(self, request: web.Request) -> PolicyRecord:
        return self._store.get(request.match_info["id"])

    def _whole(self, request: web.Request) -> PolicyRecord:
        record = self._record(request)
        self._check_whole(request[PRINCIPAL], record)
        return record

    def _check_whole(self, principal: Principal, record: PolicyRecord) -> None:
        if not all(principal.sees(row.device) for row in self._store.devices(record.id)):
            detail = "The policy has devices this session does not reach."
            raise FarsiteError(ErrorCode.FORBIDDEN, detail, right=Right.POLICY_MANAGE.value)

    def _may_set_secrets(self, principal: Principal, kind: str, settings: dict[str, Any]) -> None:
        """A password is set on devices only by whoever may set passwords."""
        secrets = self._service.kinds.get(kind).secrets
        if any(isinstance(settings.get(name), str) for name in secrets) and not principal.allows(
            Right.DEVICE_CREDENTIALS
        ):
            right = Right.DEVICE_CREDENTIALS.value
            raise FarsiteError(
                ErrorCode.FORBIDDEN, f"A policy with a password needs the right {right}.", right=right
            )

    async def _write(self, principal: Principal, action: str, target: str, details: dict[str, Any]) -> None:
        await self._audit.write(
            action, actor=principal.actor, target=target, session=principal.session, details=details
        )


def _after(ids: list[str], cursor: str | None) -> int:
    """Where the page after a cursor begins; one that is gone begins where it stood in order."""
    if cursor is None:
        return 0
    return ids.index(cursor) + 1 if cursor in ids else sum(one <= cursor for one in ids)
