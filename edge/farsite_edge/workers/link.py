"""Main's part in opening one link of a worker: seals what it says, verifies what its client says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydantic import BaseModel

from farsite_edge.workers.messages import LinkFailed, LinkHeard, LinkSays, Reason
from farsite_signaling.peer.gate import VerifiedOffer
from farsite_signaling.peer.talk import Talk
from farsite_signaling.wire.envelope import Answer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

MOST_SAID = 64
"""Messages for one attempt; a client's bound for early ones is far lower."""


class WorkerLink:
    """`run()` carries messages until the link stands or failed; `stood` and `over` tell."""

    def __init__(
        self, number: int, verified: VerifiedOffer, talk: Talk, tell: Callable[[BaseModel], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.verified = verified
        self.stood: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self._talk = talk
        self._tell = tell
        self._said: asyncio.Queue[LinkSays] = asyncio.Queue()
        self._count = 0
        self._answered = False

    @property
    def stands(self) -> bool:
        return self.stood.done() and self.stood.exception() is None

    async def run(self) -> None:
        self._talk.open()
        try:
            async with asyncio.TaskGroup() as group:
                carriers = [
                    group.create_task(self._guard(work), name=f"link {self.number} {name}")
                    for name, work in (("listens", self._listen), ("speaks", self._speak))
                ]
                await asyncio.wait([self.stood])
                for task in carriers:
                    task.cancel()
        finally:
            self._talk.close()

    def says(self, message: LinkSays) -> None:
        """Raises `protocol_error` for what a negotiation never says."""
        self._count += 1
        if isinstance(message.body, Answer):
            self._check_answer(message.body)
        if self._count > MOST_SAID:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "The process says too much about one link.")
        self._said.put_nowait(message)

    def _check_answer(self, answer: Answer) -> None:
        offer = self.verified.offer
        agreed = (answer.version, answer.resumed) == (self.verified.version, offer.resume)
        if self._answered or not agreed:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "The process answers what was not offered.")
        self._answered = True

    def stand(self) -> None:
        if not self.stood.done():
            self.stood.set_result(None)

    def end(self, error: FarsiteError) -> None:
        """Idempotent; `error` counts when the link never stood."""
        if not self.stood.done():
            self.stood.set_exception(error)
            self.stood.exception()  # seen here, if nobody waits
        if not self.over.done():
            self.over.set_result(None)

    async def _guard(self, work: Callable[[], object]) -> None:
        try:
            await work()  # type: ignore[misc]
        except FarsiteError as error:
            self._tell(LinkFailed(link=self.number, reason=Reason.of(error)))

    async def _listen(self) -> None:
        while True:
            heard = await self._talk.receive()
            self._tell(LinkHeard(link=self.number, body=heard.body, fingerprint=heard.fingerprint))

    async def _speak(self) -> None:
        while True:
            message = await self._said.get()
            await self._talk.send(message.body, message.fingerprint)
