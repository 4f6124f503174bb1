"""What campaigns can do. A new kind of work is one more entry here and one in the edge host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from farsite_cloud.database import Scope
from farsite_cloud.policies.service import order_of
from farsite_signaling.rest.routes import invalid_request
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.policy_templates_api import PolicyParameters
from farsite_signaling.wire.rights import Right
from farsite_signaling.wire.work_api import RollbackParameters, UpgradeParameters

Fill = Callable[[Scope, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Kind:
    """`parameters` is what users give; `fill` makes of it what edge hosts are told, once, when the campaign is made."""

    title: str
    right: Right
    parameters: type[BaseModel]
    fill: Fill | None = None


KINDS: dict[str, Kind] = {
    "os.upgrade": Kind("AXIS OS upgrade", Right.DEVICE_MANAGE, UpgradeParameters),
    "os.rollback": Kind("AXIS OS rollback", Right.DEVICE_MANAGE, RollbackParameters),
    "policy.apply": Kind("Apply a policy", Right.POLICY_MANAGE, PolicyParameters, order_of),
}


def kind_of(name: str) -> Kind:
    """Raises `invalid_request` naming those there are."""
    kind = KINDS.get(name)
    if kind is None:
        detail = f"There is no work of the kind {name[:64]!r}. There is: {', '.join(sorted(KINDS))}."
        raise FarsiteError(ErrorCode.INVALID_REQUEST, detail)
    return kind


def checked(kind: Kind, parameters: dict[str, Any]) -> dict[str, Any]:
    """Raises `invalid_request` naming each field that is wrong."""
    try:
        return kind.parameters.model_validate(parameters).model_dump(mode="json")
    except ValidationError as error:
        raise invalid_request(error) from None
