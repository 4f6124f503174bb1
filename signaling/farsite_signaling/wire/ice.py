"""TURN and STUN servers as handed to peers."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class IceServer(BaseModel):
    """One STUN or TURN server (RFC 7064, RFC 7065 URLs) with time-limited credentials.

    `ca` is a PEM bundle to trust for `turns:` besides the system's, for deployments with a CA of their own.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    urls: list[str] = Field(max_length=16)
    username: str | None = None
    credential: str | None = Field(default=None, repr=False)
    ca: str | None = None


class IceServers(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    servers: list[IceServer] = Field(default_factory=list, max_length=16)
    expires_at: datetime | None = None
