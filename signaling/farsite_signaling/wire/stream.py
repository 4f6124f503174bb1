"""What a stream is opened to: the first thing said on it, judged by the edge host for itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import Id

MAX_OPEN = 2048


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ApiTarget(_Frozen):
    """The edge host's own HTTP API (HTTP/1.1 on the stream)."""

    kind: Literal["api"] = "api"


class DeviceTarget(_Frozen):
    """A managed device's web server. The edge host knows its address; a client never names one."""

    kind: Literal["device"] = "device"
    device: Id
    service: Literal["http", "https"] = "http"


Target = Annotated[ApiTarget | DeviceTarget, Field(discriminator="kind")]


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
