"""What orders can ask for. A new kind of work is one more entry here and one in the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import ValidationError

from farsite_edge.axis_os.service import ROLLBACK, UPGRADE, OsService
from farsite_edge.tasks import TaskRecord
from farsite_signaling.wire.edge_tasks import RollbackRequest, UpgradeRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.work import Order


class WorkKind(Protocol):
    @property
    def right(self) -> Right:
        """What whoever ordered it must be allowed."""

    async def begin(self, order: Order, devices: list[str], idempotency: str) -> TaskRecord:
        """Make the task, or find the one that was made with this idempotency key. Raises `FarsiteError` when the
        order cannot be followed."""


WorkKinds = Mapping[str, WorkKind]


def everything(_device: str) -> bool:
    """An order reaches every device of the edge host: which ones it means is its selection."""
    return True


class UpgradeWork:
    right = Right.DEVICE_MANAGE

    def __init__(self, service: OsService) -> None:
        self._service = service

    async def begin(self, order: Order, devices: list[str], idempotency: str) -> TaskRecord:
        request = parameters(
            UpgradeRequest, order.parameters | {"ids": devices, "rollout": order.rollout.model_dump()}
        )
        return await self._service.upgrade(
            request, everything, actor=order.sub, session=None, idempotency=idempotency
        )


class RollbackWork:
    right = Right.DEVICE_MANAGE

    def __init__(self, service: OsService) -> None:
        self._service = service

    async def begin(self, order: Order, devices: list[str], idempotency: str) -> TaskRecord:
        request = parameters(
            RollbackRequest, order.parameters | {"ids": devices, "rollout": order.rollout.model_dump()}
        )
        return await self._service.rollback(
            request, everything, actor=order.sub, session=None, idempotency=idempotency
        )


def parameters(model: type[Any], values: dict[str, Any]) -> Any:
    """Raises `invalid_request`: a newer cloud asks for what this version does not know."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            f"This edge host's version does not understand the order: {where}: {first['msg']}.",
        ) from None


def os_kinds(service: OsService) -> dict[str, WorkKind]:
    return {UPGRADE: UpgradeWork(service), ROLLBACK: RollbackWork(service)}
