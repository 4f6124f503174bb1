"""Judges every stream of every tunnel by itself."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from farsite_edge.audit import AuditLog
from farsite_edge.devices.addresses import AddressRule
from farsite_edge.devices.looks import Looks
from farsite_edge.devices.record import DeviceRecord
from farsite_edge.devices.registry import Registry
from farsite_edge.devices.rtsp import PortOf, usual
from farsite_edge.remote.pins import certificate_changed
from farsite_edge.remote.reach import ApiAccess, DeviceAccess
from farsite_signaling.wire.edge_api import DeviceState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS, Grant
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.stream import (
    TARGET_RIGHTS,
    AnyTarget,
    ApiTarget,
    DeviceTarget,
    OpenRequest,
    Service,
)

MAX_NOTED = 10_000
_FAILURES = {ErrorCode.DEVICE_UNREACHABLE, ErrorCode.DEVICE_CREDENTIALS}
logger = logging.getLogger(__name__)


class StreamJudge:
    """What a session's streams may reach, and the audit rows about it."""

    def __init__(
        self,
        registry: Registry,
        looks: Looks,
        rule: AddressRule,
        audit: AuditLog,
        *,
        rtsp: PortOf = usual,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._looks = looks
        self._rule = rule
        self._audit = audit
        self._rtsp = rtsp
        self._clock = clock
        self._noted: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def judge(self, grant: Grant, request: OpenRequest) -> ApiAccess | DeviceAccess:
        """Raises `FarsiteError`, and has written it down: `forbidden`, `device_unknown`, `device_…`, `grant_expired`."""
        try:
            return await self._judge(grant, request)
        except FarsiteError as error:
            await self.note_refused(grant, request, error)
            raise

    async def note_refused(self, grant: Grant, request: OpenRequest, error: FarsiteError) -> None:
        await self._audit.note(
            "stream.open",
            actor=grant.sub,
            target=_target(request),
            outcome="failed" if error.code in _FAILURES else "refused",
            session=grant.sid,
            details={"code": error.code},
        )

    async def note_first(self, grant: Grant, device: str) -> None:
        """One row per session and device: a page opens dozens of streams."""
        key = (grant.sid, device)
        if key in self._noted:
            return
        self._noted[key] = None
        if len(self._noted) > MAX_NOTED:
            self._noted.popitem(last=False)
        await self._audit.note("device.web", actor=grant.sub, target=device, session=grant.sid)

    async def certificate_changed(self, device: str, error: FarsiteError) -> None:
        """Seen by this process."""
        await self._looks.failed(device, error)

    async def look_at(self, device: str) -> None:
        """A process that is believed less says that the device shows another certificate: see for ourselves."""
        await self._looks.check(device, refresh=False)

    async def _judge(self, grant: Grant, request: OpenRequest) -> ApiAccess | DeviceAccess:
        late = self._clock() - grant.until
        if late > LEEWAY_SECONDS:
            raise FarsiteError(
                ErrorCode.GRANT_EXPIRED, f"The session ended {late:.0f} s ago. Open a new one."
            )
        _check_right(grant, request.target)
        match request.target:
            case ApiTarget():
                return ApiAccess()
            case DeviceTarget() as target:
                return await self._device(grant, target)
            case _:
                raise FarsiteError(ErrorCode.FORBIDDEN, "Streams to this kind of target are not allowed.")

    async def _device(self, grant: Grant, target: DeviceTarget) -> DeviceAccess:
        if not grant.allows(Right.DEVICE_WEB, target.device):
            # Outside the session's folder it does not exist.
            raise FarsiteError(
                ErrorCode.DEVICE_UNKNOWN, f"There is no device {target.device} in this session."
            )
        record = self._registry.managed(target.device)
        secure = target.service == "https"
        if not secure:
            _refuse_changed(record)
        port = await self._port(record, target.service)
        if port is None:
            raise FarsiteError(
                ErrorCode.DEVICE_UNREACHABLE,
                f"The device {record.id} has no {target.service} port that is known.",
            )
        self._rule.check(record.address, port)
        pin = _pin(record) if secure else None
        return DeviceAccess(device=record.id, address=record.address, port=port, pin=pin)

    async def _port(self, record: DeviceRecord, service: Service) -> int | None:
        if service == "rtsp":
            return await self._rtsp(record)
        return record.https_port if service == "https" else record.http_port


def _pin(record: DeviceRecord) -> str:
    if record.pin is None:
        raise FarsiteError(
            ErrorCode.DEVICE_CREDENTIALS,
            f"The certificate of the device {record.id} is not known yet. Log in to the device first.",
        )
    return record.pin


def _target(request: OpenRequest) -> str:
    if isinstance(request.target, DeviceTarget):
        return f"{request.target.device} {request.target.service}"
    return request.target.kind


def _refuse_changed(record: DeviceRecord) -> None:
    """What shows another certificate may be another device: nothing is sent to it in clear either."""
    if record.state is DeviceState.CERTIFICATE_CHANGED:
        raise certificate_changed(record.id)


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
