"""Where a device is on its way to another AXIS OS: what outlives a crash of the edge host."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from farsite_signaling.wire.errors import ErrorCode


class Stage(StrEnum):
    READY = "ready"
    INFO = "info"
    STATUS = "status"
    UPLOAD = "upload"
    RESTART = "restart"
    LOOK = "look"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    REVERT = "revert"
    REVERT_LOOK = "revert_look"
    DONE = "done"


class Memory(BaseModel):
    """What is kept of a device on its way. `before` is the version it ran, `since` when the stage began (epoch,
    seconds); `touched`: an upload or rollback has begun, so that the device may be restarting."""

    model_config = ConfigDict(extra="ignore")

    stage: Stage = Stage.READY
    hop: int = 0
    since: float = 0.0
    boot_id: str | None = None
    before: str = ""
    back_to: str | None = None
    uploads: int = 0
    rollbacks: int = 0
    busy_since: float | None = None
    touched: bool = False
    down_seen: bool = False
    restarted: bool = False
    answer_lost: bool = False
    reason: str = ""
    reason_code: str = ErrorCode.DEVICE_ANSWER
    installed: list[str] = []
