"""Judges every stream of every tunnel by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from farsite_edge.audit import AuditLog
from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.manager import DeviceManager
from farsite_edge.devices.pins import certificate_changed, check_pin, device_tls
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.devices.registry import Registry
from farsite_edge.remote.splice import Splice
from farsite_edge.remote.usage import Usage
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS, Grant
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.stream import TARGET_RIGHTS, AnyTarget, ApiTarget, DeviceTarget, OpenRequest

MAX_NOTED = 10_000
logger = logging.getLogger(__name__)
Factory = Callable[[], asyncio.BaseProtocol]


class GrantedTunnel(Protocol):
    @property
    def grant(self) -> Grant | None: ...


class EdgeAcceptor:
    """`api` makes the protocol of one connection to the HTTP API. Implements `StreamAcceptor`."""

    def __init__(
        self,
        registry: Registry,
        manager: DeviceManager,
        rule: AddressRule,
        audit: AuditLog,
        api: Factory,
        *,
        timeout: float,
        usage: Usage | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._manager = manager
        self._rule = rule
        self._audit = audit
        self._api = api
        self._timeout = timeout
        self._clock = clock
        self.usage = usage or Usage()
        self._noted: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def accept(self, tunnel: GrantedTunnel, request: OpenRequest) -> Factory:
        """Raises `FarsiteError` to refuse: `forbidden`, `device_unknown`, `device_…`, `grant_expired`."""
        grant = tunnel.grant
        if grant is None:
            raise FarsiteError(ErrorCode.FORBIDDEN, "This tunnel carries no grant.")
        try:
            return await self._judge(grant, request)
        except FarsiteError as error:
            await self._audit.note(
                "stream.open",
                actor=grant.sub,
                target=_target(request),
                outcome="failed" if error.code in _FAILURES else "refused",
                session=grant.sid,
                details={"code": error.code},
            )
            raise

    async def _judge(self, grant: Grant, request: OpenRequest) -> Factory:
        late = self._clock() - grant.until
        if late > LEEWAY_SECONDS:
            raise FarsiteError(
                ErrorCode.GRANT_EXPIRED, f"The session ended {late:.0f} s ago. Open a new one."
            )
        _check_right(grant, request.target)
        match request.target:
            case ApiTarget():
                return self._api
            case DeviceTarget() as target:
                return await self._device(grant, target)
            case _:
                raise FarsiteError(ErrorCode.FORBIDDEN, "Streams to this kind of target are not allowed.")

    async def _device(self, grant: Grant, target: DeviceTarget) -> Factory:
        if not grant.allows(Right.DEVICE_WEB, target.device):
            # Outside the session's folder it does not exist.
            raise FarsiteError(
                ErrorCode.DEVICE_UNKNOWN, f"There is no device {target.device} in this session."
            )
        record = self._registry.managed(target.device)
        splice = self.usage.splice(grant.sid, record.id)
        try:
            await self._connect(record, target.service, splice)
            await self._note_first(grant, record.id)
        except BaseException:
            # Refused, failed or cancelled (the tunnel went away): nobody will use this connection.
            splice.close()
            self.usage.drop(grant.sid, record.id, splice)
            raise
        return lambda: splice.stream

    async def _connect(self, record: DeviceRecord, service: str, splice: Splice) -> None:
        if service != "https":
            _refuse_changed(record)
        port = record.https_port if service == "https" else record.http_port
        if port is None:
            raise FarsiteError(
                ErrorCode.DEVICE_UNREACHABLE, f"The device {record.id} has no {service} port that is known."
            )
        self._rule.check(record.address, port)
        loop = asyncio.get_running_loop()
        tls = device_tls() if service == "https" else None
        try:
            async with asyncio.timeout(self._timeout):
                await loop.create_connection(
                    lambda: splice.device,
                    record.address,
                    port,
                    ssl=tls,
                    server_hostname="" if tls else None,
                )
        except (OSError, TimeoutError) as error:
            raise _unreachable(record, port, error) from error
        if tls is not None:
            await self._check_certificate(record, splice)

    async def _check_certificate(self, record: DeviceRecord, splice: Splice) -> None:
        assert splice.device.transport is not None
        try:
            if record.pin is None:
                raise FarsiteError(
                    ErrorCode.DEVICE_CREDENTIALS,
                    f"The certificate of the device {record.id} is not known yet. Log in to the device first.",
                )
            check_pin(record.id, record.pin, splice.device.transport.get_extra_info("ssl_object"))
        except FarsiteError as error:
            if error.code is ErrorCode.DEVICE_CERTIFICATE_CHANGED:
                await self._manager.failed(record.id, error)
            raise

    async def _note_first(self, grant: Grant, device: str) -> None:
        """One row per session and device: a page opens dozens of streams."""
        key = (grant.sid, device)
        if key in self._noted:
            return
        self._noted[key] = None
        if len(self._noted) > MAX_NOTED:
            self._noted.popitem(last=False)
        await self._audit.note("device.web", actor=grant.sub, target=device, session=grant.sid)


_FAILURES = {ErrorCode.DEVICE_UNREACHABLE, ErrorCode.DEVICE_CREDENTIALS}


def _target(request: OpenRequest) -> str:
    if isinstance(request.target, DeviceTarget):
        return f"{request.target.device} {request.target.service}"
    return request.target.kind


def _refuse_changed(record: DeviceRecord) -> None:
    """What shows another certificate may be another device: nothing is sent to it in clear either."""
    if record.state is DeviceState.CERTIFICATE_CHANGED:
        raise certificate_changed(record.id)


def _unreachable(record: DeviceRecord, port: int, error: Exception) -> FarsiteError:
    reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return FarsiteError(
        ErrorCode.DEVICE_UNREACHABLE,
        f"The device {record.id} does not accept a connection on port {port}: {reason[:200]}.",
    )


def _check_right(grant: Grant, target: AnyTarget) -> None:
    """Raises `forbidden`. A target without a right cannot be: the table is checked where it is written."""
    right = TARGET_RIGHTS[type(target)]
    if not grant.allows(right):
        what = "a device's page" if isinstance(target, DeviceTarget) else "the edge host"
        raise FarsiteError(
            ErrorCode.FORBIDDEN,
            f"Opening {what} needs the right {right}, which this session has not.",
            right=right,
        )
