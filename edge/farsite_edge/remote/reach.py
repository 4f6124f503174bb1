"""What a stream may reach, once it was judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class ApiAccess(BaseModel):
    """The edge host's own API, which judges each request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["api"] = "api"


class DeviceAccess(BaseModel):
    """`pin`: what the device's certificate must be (SHA-256); without one the connection is no TLS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["device"] = "device"
    device: str
    address: str
    port: int
    pin: str | None = None


Access = Annotated[ApiAccess | DeviceAccess, Field(discriminator="kind")]
