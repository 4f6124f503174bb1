"""Who takes what the cloud says."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.hub import HubMessage

M = TypeVar("M", bound=BaseModel)
logger = logging.getLogger(__name__)


class Inbox:
    """One taker for each kind of message; what nobody takes, a newer cloud's perhaps, is passed over."""

    def __init__(self) -> None:
        self._takers: dict[type[BaseModel], Callable[[Any], Awaitable[None] | None]] = {}

    def listen(self, kind: type[M], take: Callable[[M], Awaitable[None] | None]) -> None:
        self._takers[kind] = take

    async def receive(self, message: HubMessage) -> None:
        """What is refused costs nothing but itself: the cloud says again what it needs settled."""
        take = self._takers.get(type(message))
        if take is None:
            logger.debug("from the hub: %s", message.type)
            return
        try:
            if (taken := take(message)) is not None:
                await taken
        except FarsiteError as error:
            logger.warning("%s of the cloud refused: %s", message.type, error)
