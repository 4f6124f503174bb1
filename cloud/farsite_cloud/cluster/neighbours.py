"""The hubs of a cloud's processes find each other's peers through Redis. Implements `hub.Neighbours`."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from farsite_cloud.cluster.board import CHANNEL, Board
from farsite_cloud.cluster.messages import (
    ADAPTER,
    Alive,
    Changed,
    Deliver,
    Dismiss,
    Done,
    Forget,
    Left,
    Message,
)
from farsite_cloud.cluster.redis import PREFIX, SECONDS, shared
from farsite_cloud.cluster.view import View
from farsite_signaling.hub import Here
from farsite_signaling.hub.hub import replaced
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.hub import Bye

logger = logging.getLogger(__name__)
_TOGETHER = 64
"""Changes told in one trip: when a process ends, all its peers come to the others."""


@dataclass(frozen=True)
class Pace:
    """Seconds. `life`: a process that was silent for so long is no more. `pause`: before Redis is tried again."""

    renew: float = 1.5
    life: float = 6.0
    pause: float = 0.5


class RedisNeighbours:
    """Run `serving` around the time the hub serves. What is told and asked while Redis is away is made up for later."""

    def __init__(self, redis: Redis, pace: Pace | None = None) -> None:
        self.process = secrets.token_hex(8)
        self._redis = redis
        self._pace = pace or Pace()
        self._board = Board(redis, self.process, self._pace.life)
        # A little later than Redis forgets them, so that it is asked once.
        self._view = View(self._pace.life + self._pace.renew)
        self._since: dict[str, int] = {}
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._whole = False
        self._listening = False
        self._ready = asyncio.Event()
        self._asked: dict[str, asyncio.Future[bool]] = {}
        self._here: Here | None = None
        self._closing = False
        self.on_forget: Callable[[], None] = _nothing

    # hub.Neighbours

    @property
    def partial(self) -> bool:
        return not self._ready.is_set()

    def online(self, name: str) -> bool:
        return self._view.where(name) is not None

    def changed(self, name: str) -> None:
        self._since.pop(name, None)
        self._dirty[name] = None
        self._wake.set()

    async def send(self, name: str, text: str) -> bool:
        key = secrets.token_hex(8)
        return await self._ask(name, Deliver(id=key, sender=self.process, name=name, text=text))

    async def disconnect(self, name: str, bye: Bye) -> bool:
        key = secrets.token_hex(8)
        return await self._ask(name, Dismiss(id=key, sender=self.process, name=name, bye=bye))

    async def _ask(self, name: str, question: Deliver | Dismiss) -> bool:
        process = self._view.where(name)
        return process is not None and await self._ask_process(process, question)

    async def _ask_process(self, process: str, question: Deliver | Dismiss | Forget) -> bool:
        answer = self._asked[question.id] = asyncio.get_running_loop().create_future()
        try:
            async with shared("messages"):
                if not await self._redis.publish(_inbox(process), question.model_dump_json()):
                    return False
                done: bool = await answer
                return done
        finally:
            del self._asked[question.id]

    async def forget(self) -> None:
        """All others have forgotten who may do what, or cannot be reached: they do not remember it for long."""
        async with asyncio.TaskGroup() as group:
            for process in self._view.processes():
                group.create_task(self._make_forget(process), name=f"forget at {process}")

    async def _make_forget(self, process: str) -> None:
        with suppress(FarsiteError):
            await self._ask_process(process, Forget(id=secrets.token_hex(8), sender=self.process))

    # Life

    @asynccontextmanager
    async def serving(self, here: Here) -> AsyncIterator[None]:
        """Whether or not Redis is there: a hub without it serves its own peers."""
        self._here = here
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._listen_forever(), name="cluster listener"),
                group.create_task(self._renew_forever(), name="cluster presence"),
                group.create_task(self._tell_forever(), name="cluster changes"),
            ]
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(2 * SECONDS):
                        await self._ready.wait()
                yield
            finally:
                self._closing = True
                self._wake.set()
                for task in tasks:
                    task.cancel()
                with suppress(FarsiteError):
                    await self._board.leave()

    async def _renew_forever(self) -> None:
        while not self._closing:
            try:
                if not (self._whole and await self._board.renew()):
                    await self._write_all()
                await self._bury(self._view.expired(asyncio.get_running_loop().time()))
                await asyncio.sleep(self._pace.renew)
            except FarsiteError:
                self._set_whole(False)
                self._bury_unseen()
                await asyncio.sleep(self._pace.pause)

    async def _write_all(self) -> None:
        now = await self._board.now()
        self._dirty.clear()
        self._since = {
            name: self._since.get(name) or self._arrival(name, now) for name in self._there.connected()
        }
        await self._board.write(self._since)
        self._set_whole(True)
        for name in list(self._since):
            self._give_way(name)

    def _arrival(self, name: str, now: int) -> int:
        return now - int((self._there.age(name) or 0) * 1000)

    def _set_whole(self, whole: bool) -> None:
        if whole is not self._whole:
            logger.warning(
                "Redis: %s", "found" if whole else "lost; peers of other processes are out of reach"
            )
        self._whole = whole
        self._judge()

    def _judge(self) -> None:
        (self._ready.set if self._whole and self._listening else self._ready.clear)()

    async def _tell_forever(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self._whole and self._dirty:
                    await self._tell(list(itertools.islice(self._dirty, _TOGETHER)))
            except FarsiteError:
                # What could not be told is in the entry that is written when Redis is back.
                self._set_whole(False)

    async def _tell(self, names: list[str]) -> None:
        for name in names:
            del self._dirty[name]
        told = await self._board.change({name: self._there.age(name) for name in names})
        if not told:
            self._set_whole(False)
        for name, since in told.items():
            if self._there.age(name) is not None and name not in self._dirty:
                self._since[name] = since
                self._give_way(name)

    async def _bury(self, processes: list[str]) -> None:
        """Peers of a process that crashed are offline; one of those that notice says so."""
        for process in processes:
            if await self._board.read(process) is not None:
                await self._learn(process)
                continue
            logger.warning("process %s is no more", process)
            first = await self._board.strike(process)
            names = self._view.forget(process)
            if first:
                self._there.lost(names)

    def _bury_unseen(self) -> None:
        """Without Redis nobody can tell whether they live: they are out of reach either way."""
        for process in self._view.expired(asyncio.get_running_loop().time()):
            self._view.forget(process)

    # What the others say

    async def _listen_forever(self) -> None:
        while not self._closing:
            try:
                await self._listen()
            except (FarsiteError, RedisError, OSError, TimeoutError) as error:
                logger.debug("cluster listener: %r", error)
            except Exception:
                logger.exception("cluster listener failed; it begins again")
            self._listening = False
            self._judge()
            await asyncio.sleep(self._pace.pause)

    async def _listen(self) -> None:
        """Until nothing is heard, not even of this process itself."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channels:
            async with asyncio.timeout(SECONDS):
                await channels.subscribe(CHANNEL, _inbox(self.process))
            for process in await self._board.others():
                await self._learn(process)
            self._listening = True
            self._judge()
            loop = asyncio.get_running_loop()
            heard = loop.time()
            while loop.time() - heard < self._pace.life and not self._closing:
                message = await channels.get_message(timeout=self._pace.renew)
                if message is not None:
                    heard = loop.time()
                    await self._hear(message["data"])

    async def _hear(self, text: str) -> None:
        try:
            message = ADAPTER.validate_json(text)
        except ValidationError as error:
            logger.warning("a process of another release says what is not understood: %s", error.title)
            return
        if isinstance(message, Alive | Changed | Left):
            if message.process != self.process:
                await self._news(message)
        else:
            await self._told(message)

    async def _news(self, message: Alive | Changed | Left) -> None:
        now = asyncio.get_running_loop().time()
        match message:
            case Left():
                self._view.forget(message.process)
                return
            case Alive():
                known = self._view.heard(message.process, message.version, now)
            case Changed():
                known = self._view.change(message.process, message.version, message.name, message.since, now)
                self._give_way(message.name)
        if not known:
            await self._learn(message.process)

    async def _learn(self, process: str) -> None:
        found = await self._board.read(process)
        if found is None:
            return
        version, peers = found
        self._view.learn(process, version, peers, asyncio.get_running_loop().time())
        for name in peers:
            self._give_way(name)

    def _give_way(self, name: str) -> None:
        """Of two connections of one name the newer one stays, wherever it is."""
        mine, theirs = self._since.get(name), self._view.newest(name)
        if mine is not None and theirs is not None and theirs > (mine, self.process):
            self._there.dismiss(name, replaced())

    async def _told(self, message: Message) -> None:
        match message:
            case Done():
                answer = self._asked.get(message.id)
                if answer is not None and not answer.done():
                    answer.set_result(message.ok)
            case Deliver():
                await self._answer(message, self._there.deliver(message.name, message.text))
            case Forget():
                self.on_forget()
                await self._answer(message, True)
            case Dismiss():
                await self._answer(message, self._there.dismiss(message.name, message.bye))

    async def _answer(self, question: Deliver | Dismiss | Forget, ok: bool) -> None:
        async with shared("messages"):
            await self._redis.publish(_inbox(question.sender), Done(id=question.id, ok=ok).model_dump_json())

    @property
    def _there(self) -> Here:
        if self._here is None:
            raise FarsiteError(ErrorCode.UNAVAILABLE, "The hub does not serve yet.", retry_after=1)
        return self._here


def _nothing() -> None:
    """Nobody remembers anything."""


def _inbox(process: str) -> str:
    return f"{PREFIX}to:{process}"
