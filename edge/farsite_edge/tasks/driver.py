"""Drives a machine for one device: asks what it wants to know, writes down before anything is begun, waits, stops."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from farsite_edge.tasks.exchange import Unreachable, Wait, Wrong
from farsite_edge.tasks.record import Outcome
from farsite_edge.tasks.work import Work

ActionT = TypeVar("ActionT")
EventT = TypeVar("EventT")
ActionT_co = TypeVar("ActionT_co", covariant=True)
EventT_contra = TypeVar("EventT_contra", contravariant=True)


class Machine(Protocol[ActionT_co, EventT_contra]):
    """Free of I/O. `action(now)` is what to do next; its answer goes to `feed(event, now)`. `now` is epoch seconds.
    `Wait` has no answer: `waited()` it. An `Outcome` is the end. `can_stop`: nothing is begun that must be brought to an
    end."""

    @property
    def can_stop(self) -> bool: ...
    def action(self, now: float) -> ActionT_co: ...
    def waited(self) -> None: ...
    def feed(self, event: EventT_contra, now: float) -> None: ...


class Driver(ABC, Generic[ActionT, EventT]):
    """One device on its way."""

    def __init__(self, machine: Machine[Any, Any], work: Work, clock: Callable[[], float]) -> None:
        self._course = machine
        self._work = work
        self._clock = clock

    async def drive(self) -> Outcome:
        course = self._course
        while True:
            action = course.action(self._clock())
            if isinstance(action, Outcome):
                return action
            if self._work.cancelling.is_set() and course.can_stop:
                return self._cancelled()
            if isinstance(action, Wait):
                await self._wait(action.seconds)
                course.waited()
                continue
            await self._save(action)
            event = await self._ask(action)
            if event is None:
                return self._cancelled()
            self._work.stalled(isinstance(event, Unreachable | Wrong) and not self._begun)
            course.feed(event, self._clock())

    async def _wait(self, seconds: float) -> None:
        if not self._course.can_stop:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._work.cancelling.wait()
        except TimeoutError:
            pass

    @property
    @abstractmethod
    def _begun(self) -> bool:
        """Something of it is done to the device: it counts among those under way however silent it is."""

    @abstractmethod
    async def _save(self, action: ActionT) -> None:
        """Before every stage that changes the device, so that a crash in it is known of."""

    @abstractmethod
    async def _ask(self, action: ActionT) -> EventT | None:
        """`None`: cancelled in the middle."""

    @abstractmethod
    def _cancelled(self) -> Outcome: ...
