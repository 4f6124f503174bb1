"""Whose turn it is with a device: one writer at a time, and a task that changes it keeps everybody else away."""

from __future__ import annotations

import asyncio

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class Holds:
    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._held: set[str] = set()

    def lock(self, device: str) -> asyncio.Lock:
        return self._locks.setdefault(device, asyncio.Lock())

    def hold(self, device: str) -> None:
        """Idempotent."""
        self._held.add(device)

    def drop(self, device: str) -> None:
        """Idempotent."""
        self._held.discard(device)

    def held(self, device: str) -> bool:
        return device in self._held

    def check_free(self, device: str) -> None:
        """Raises `conflict`."""
        if device in self._held:
            raise FarsiteError(
                ErrorCode.CONFLICT,
                f"The device {device} is being updated. Wait for the task, or cancel it.",
            )
