"""Routes that make tasks for devices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from farsite_edge.api.guard import PRINCIPAL, Guard
from farsite_edge.api.task_routes import KEY, idempotency_key
from farsite_edge.audit import AuditLog
from farsite_edge.device_tasks import DeviceTasks, service
from farsite_edge.devices import DeviceManager
from farsite_edge.devices.credentials import Account
from farsite_edge.devices.details import read_network
from farsite_edge.tasks import TaskRunner
from farsite_signaling.rest import Api
from farsite_signaling.rest.etags import IF_MATCH, check_if_match, revision_of
from farsite_signaling.wire.device_api import (
    FactoryDefaultTask,
    LogInTask,
    NetworkTask,
    ParametersTask,
    RestartTask,
    RotateTask,
    ServiceAccountTask,
    SetUpTask,
)
from farsite_signaling.wire.edge_tasks import Rollout, Task
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right


class DeviceTaskRoutes:
    def __init__(
        self,
        guard: Guard,
        manager: DeviceManager,
        tasks: DeviceTasks,
        runner: TaskRunner,
        audit: AuditLog,
    ) -> None:
        self._guard = guard
        self._manager = manager
        self._edits = asyncio.Lock()
        self._tasks = tasks
        self._runner = runner
        self._audit = audit

    def api(self) -> Api:
        api = Api()
        making: dict[str, Any] = {"response": Task, "status": 201, "headers": (KEY,)}
        secret = making | {"need": Right.DEVICE_CREDENTIALS}
        manage = making | {"need": Right.DEVICE_MANAGE}
        api.route("POST", "/devices/tasks/log-in", request=LogInTask, **secret)(self.log_in)
        api.route("POST", "/devices/tasks/set-up", request=SetUpTask, **secret)(self.set_up)
        api.route("POST", "/devices/tasks/rotate-password", request=RotateTask, **secret)(self.rotate)
        api.route("POST", "/devices/tasks/service-account", request=ServiceAccountTask, **secret)(
            self.service_account
        )
        api.route("POST", "/devices/tasks/restart", request=RestartTask, **manage)(self.restart)
        api.route("POST", "/devices/tasks/factory-default", request=FactoryDefaultTask, **manage)(
            self.factory_default
        )
        api.route("POST", "/devices/tasks/parameters", request=ParametersTask, **manage)(self.parameters)
        network: dict[str, Any] = manage | {"headers": (KEY, IF_MATCH)}
        api.route("PUT", "/devices/{id}/network", request=NetworkTask, **network)(self.network)
        return api

    async def log_in(self, request: web.Request, body: LogInTask) -> Task:
        """Log in to devices with the first of some credentials that each takes."""
        accounts = [Account(one.username, one.password.get_secret_value()) for one in body.credentials]
        return await self._start(request, service.LOG_IN, body.ids, body.rollout, accounts=accounts)

    async def set_up(self, request: web.Request, body: SetUpTask) -> Task:
        """Give factory-new devices their first account."""
        payload = {"username": body.username}
        accounts = [Account(body.username, body.password.get_secret_value())] if body.password else []
        return await self._start(request, service.SET_UP, body.ids, body.rollout, payload, accounts=accounts)

    async def rotate(self, request: web.Request, body: RotateTask) -> Task:
        """Change the password of the account in use, checked both ways."""
        accounts = [Account("", body.password.get_secret_value())] if body.password else []
        return await self._start(request, service.ROTATE, body.ids, body.rollout, accounts=accounts)

    async def service_account(self, request: web.Request, body: ServiceAccountTask) -> Task:
        """Make an account of the edge host's own on devices."""
        return await self._start(request, service.SERVICE, body.ids, body.rollout)

    async def restart(self, request: web.Request, body: RestartTask) -> Task:
        """Restart devices and wait until they are back."""
        return await self._start(request, service.RESTART, body.ids, body.rollout)

    async def factory_default(self, request: web.Request, body: FactoryDefaultTask) -> Task:
        """Take devices back to how they came from the factory."""
        payload = {"mode": body.mode}
        return await self._start(request, service.FACTORY_DEFAULT, body.ids, body.rollout, payload)

    async def parameters(self, request: web.Request, body: ParametersTask) -> Task:
        """Set the same parameters on devices and read them back."""
        payload = {"values": body.values}
        return await self._start(request, service.PARAMETERS, body.ids, body.rollout, payload)

    async def network(self, request: web.Request, body: NetworkTask) -> Task:
        """Change a device's IPv4 settings; they are put back when it does not return."""
        device = request.match_info["id"]
        if not request[PRINCIPAL].allows(Right.DEVICE_MANAGE, device):
            raise await self._guard.refuse_device(request, device)
        async with self._edits:
            if IF_MATCH in request.headers:
                await self._check_unchanged(request, device)
            return await self._start(request, service.NETWORK, [device], Rollout(), body.model_dump())

    async def _check_unchanged(self, request: web.Request, device: str) -> None:
        key = idempotency_key(request)
        if key is not None and await self._runner.store.was_made(key):
            return  # what it is different from now is what the request itself made of it
        if any(row.device == device for row in self._runner.unfinished(service.NETWORK)):
            detail = "Somebody else's change of its network settings is at work. Wait for it, then read them again."
            raise FarsiteError(ErrorCode.PRECONDITION_FAILED, detail)
        check_if_match(request, revision_of(await read_network(self._manager, device)))

    async def _start(
        self,
        request: web.Request,
        kind: str,
        ids: list[str],
        rollout: Rollout,
        payload: Mapping[str, Any] | None = None,
        *,
        accounts: list[Account] | None = None,
    ) -> Task:
        principal = request[PRINCIPAL]
        await self._audit.write(
            kind, actor=principal.actor, target=f"{len(set(ids))} devices", session=principal.session
        )
        record = await self._tasks.start(
            kind,
            ids,
            payload or {},
            principal.sees,
            accounts=accounts,
            rollout=rollout,
            actor=principal.actor,
            session=principal.session,
            idempotency=idempotency_key(request),
        )
        return await self._runner.shown(record.id)
