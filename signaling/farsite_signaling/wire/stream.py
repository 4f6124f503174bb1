"""What a stream is opened to: the first thing said on it, judged by the edge host for itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import Id
from farsite_signaling.wire.rights import Right

MAX_OPEN = 2048
Service = Literal["http", "https", "rtsp"]
"""`rtsp`: RFC 7826 on TCP, media interleaved in it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ApiTarget(_Frozen):
    """The edge host's own HTTP API (HTTP/1.1 on the stream)."""

    kind: Literal["api"] = "api"


class DeviceTarget(_Frozen):
    """A managed device's web server, or its streams. The edge host knows its address; a client never names one."""

    kind: Literal["device"] = "device"
    device: Id
    service: Service = "http"


AnyTarget = ApiTarget | DeviceTarget
Target = Annotated[AnyTarget, Field(discriminator="kind")]
# The right a stream to each kind of target needs. What is done on a stream to the API, each of its routes judges.
TARGET_RIGHTS: dict[type[BaseModel], Right] = {
    ApiTarget: Right.REMOTE_ACCESS,
    DeviceTarget: Right.DEVICE_WEB,
}


def check_targets(targets: Iterable[type[BaseModel]], rights: Mapping[type[BaseModel], Right]) -> None:
    """Keeps every part from starting that knows a target nobody named a right for."""
    for target in targets:
        if not isinstance(rights.get(target), Right):
            raise TypeError(f"{target.__name__} does not declare the right it needs")


check_targets(get_args(AnyTarget), TARGET_RIGHTS)


class Priority(StrEnum):
    INTERACTIVE = "interactive"
    BULK = "bulk"


class OpenRequest(_Frozen):
    target: Target
    priority: Priority = Priority.INTERACTIVE


def parse_open(data: bytes) -> OpenRequest:
    """Raises `FarsiteError` (`protocol_error`) and nothing else."""
    if len(data) > MAX_OPEN:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"Open request of {len(data)} bytes.")
    try:
        return OpenRequest.model_validate_json(data)
    except ValidationError:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Open request not understood.") from None
