"""Where devices serve RTSP: asked when somebody wants to go there, for nothing else depends on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from farsite_edge.devices.contact import Contact
from farsite_edge.devices.credentials import CredentialStore
from farsite_edge.devices.record import DeviceRecord
from farsite_signaling.wire.errors import FarsiteError

PARAMETER = "Network.RTSP.Port"
USUAL = 554
KEPT = 10.0
"""Seconds: players open several connections at once."""
MOST = 10_000
logger = logging.getLogger(__name__)


PortOf = Callable[[DeviceRecord], Awaitable[int]]


async def usual(record: DeviceRecord) -> int:
    return USUAL


class _Known(NamedTuple):
    port: int
    until: float


class RtspPorts:
    """`usual` is the port of devices that cannot be asked, or do not say."""

    def __init__(
        self,
        credentials: CredentialStore,
        contact: Contact,
        usual: int = USUAL,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._contact = contact
        self._usual = usual
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def of(self, record: DeviceRecord) -> int:
        """Raises nothing of devices: where it was the last time is as good a guess as any."""
        known = self._known.get(record.id)
        if known is not None and self._clock() < known.until:
            return known.port
        port = await self._asked(record) or (known.port if known else self._usual)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[record.id] = _Known(port, self._clock() + KEPT)
        return port

    async def _asked(self, record: DeviceRecord) -> int | None:
        try:
            account = await self._credentials.get(record.id)
            if account is None:
                return None
            client = self._contact.client(record, account, once=True)
            values = await self._contact.bounded(client.parameters(PARAMETER))
        except FarsiteError as error:
            logger.info("device %s does not say where its RTSP is: %s", record.id, error.code)
            return None
        return _port(values.get(PARAMETER, ""))


def _port(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    return number if 0 < number < 65536 else None
