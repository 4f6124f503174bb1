"""What orders can ask for. A new kind of work is one more entry here and one in the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from farsite_edge.axis_os.service import ROLLBACK, UPGRADE, OsService
from farsite_edge.policies.service import PolicyService
from farsite_edge.tasks import TaskRecord
from farsite_signaling.wire.edge_tasks import RollbackRequest, UpgradeRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_api import AssignResult, Selection
from farsite_signaling.wire.policy_templates_api import PolicyOrder
from farsite_signaling.wire.refusals import plain
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.work import Order


@dataclass(frozen=True)
class Begun:
    """`task` None: no device can have it. `left_out` says in one sentence which ones were left out, and why."""

    task: TaskRecord | None
    left_out: str = ""


class WorkKind(Protocol):
    @property
    def right(self) -> Right:
        """What whoever ordered it must be allowed."""

    async def begin(self, order: Order, devices: list[str], idempotency: str) -> Begun:
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

    async def begin(self, order: Order, devices: list[str], idempotency: str) -> Begun:
        request = parameters(
            UpgradeRequest, order.parameters | {"ids": devices, "rollout": order.rollout.model_dump()}
        )
        task = await self._service.upgrade(
            request, everything, actor=order.sub, session=None, idempotency=idempotency
        )
        return Begun(task)


class RollbackWork:
    right = Right.DEVICE_MANAGE

    def __init__(self, service: OsService) -> None:
        self._service = service

    async def begin(self, order: Order, devices: list[str], idempotency: str) -> Begun:
        request = parameters(
            RollbackRequest, order.parameters | {"ids": devices, "rollout": order.rollout.model_dump()}
        )
        task = await self._service.rollback(
            request, everything, actor=order.sub, session=None, idempotency=idempotency
        )
        return Begun(task)


class PolicyWork:
    """Makes a policy of the template, or brings the one made from it before to this version, and applies it."""

    right = Right.POLICY_MANAGE

    def __init__(self, service: PolicyService) -> None:
        self._service = service

    async def begin(self, order: Order, devices: list[str], idempotency: str) -> Begun:
        given = parameters(PolicyOrder, order.parameters)
        selection = Selection(ids=devices, replace=given.replace)
        _, results, task = await self._service.apply_template(
            given.document, selection, order.sub, sees=everything, idempotency=idempotency
        )
        return Begun(task, _left_out(results))


def _left_out(results: list[AssignResult]) -> str:
    refused = [one for one in results if not one.ok]
    if not refused:
        return ""
    names = ", ".join(one.device for one in refused[:10])
    return f"{len(refused)} devices were left out ({names}): {refused[0].detail}"[:500]


def parameters(model: type[Any], values: dict[str, Any]) -> Any:
    """Raises `invalid_request`: a newer cloud asks for what this version does not know."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FarsiteError(
            ErrorCode.INVALID_REQUEST,
            f"This edge host's version does not understand the order: {where}: {plain(first['msg'])}.",
        ) from None


def work_kinds(service: OsService, policies: PolicyService) -> dict[str, WorkKind]:
    return {
        UPGRADE: UpgradeWork(service),
        ROLLBACK: RollbackWork(service),
        "policy.apply": PolicyWork(policies),
    }
