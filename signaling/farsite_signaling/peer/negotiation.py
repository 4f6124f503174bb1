"""One attempt at a link: the sealed conversation beside it, from offer or answer until it stands or fails."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.peer.talk import Heard, Talk
from farsite_signaling.peer.tasks import TaskOwner
from farsite_signaling.wire.envelope import Answer, Body, Candidates, Offer, Refusal
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.version import supported_versions

logger = logging.getLogger(__name__)

MAX_EARLY = 16
_BATCH = 64


@dataclass(frozen=True)
class Purpose:
    """What a link is for: see `wire.envelope.Offer`."""

    tunnel: str | None = None
    resume: bool = False
    direct: bool = False


class Negotiation:
    """Use inside `async with`: leaving it ends the conversation, and closes a link that does not stand."""

    def __init__(
        self,
        talk: Talk,
        *,
        servers: list[IceServer],
        options: PeerOptions,
        purpose: Purpose | None = None,
    ) -> None:
        self._talk = talk
        self._purpose = purpose or Purpose()
        self._tasks = TaskOwner(f"negotiation {talk.session}")
        self._found: asyncio.Queue[tuple[list[str], bool]] = asyncio.Queue()
        self._remote_fingerprint: str | None = None
        self._early: list[Heard] = []
        self._stands = False
        self._refused = False
        self.link = RtcLink(servers, options)
        self.offered = False
        self.answered = False

    async def __aenter__(self) -> Self:
        self._talk.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._talk.close()
        await self._tasks.close()
        if not self._stands:
            await self.link.close()

    async def offer(self, grant: str) -> None:
        """Send our offer; what comes back is handled behind."""
        self.link.trickle(lambda lines, last: self._found.put_nowait((lines, last)))
        sdp, complete = await self.link.offer()
        purpose = self._purpose
        offer = Offer(
            sdp=sdp,
            grant=grant,
            versions=supported_versions(),
            complete=complete,
            tunnel=purpose.tunnel,
            resume=purpose.resume,
            direct=purpose.direct,
        )
        self.offered = True
        await self._send(offer)
        self._start()

    async def answer(self, offer: Offer, fingerprint: str, version: int) -> None:
        """Answer a verified offer."""
        self._remote_fingerprint = fingerprint
        self.link.trickle(lambda lines, last: self._found.put_nowait((lines, last)))
        sdp, complete = await self.link.answer(offer.sdp)
        await self._send(Answer(sdp=sdp, version=version, complete=complete, resumed=self._purpose.resume))
        self._start()

    async def connected(self) -> RtcLink:
        """The link, standing. Raises `FarsiteError`."""
        await self.link.connected()
        self._stands = True
        return self.link

    def _start(self) -> None:
        self._tasks.spawn(self._guard(self._listen()), "listen")
        self._tasks.spawn(self._guard(self._trickle()), "trickle")

    async def _guard(self, work: object) -> None:
        try:
            await work  # type: ignore[misc]
        except FarsiteError as error:
            self.link.fail(error)

    async def _send(self, body: Body) -> None:
        await self._talk.send(body, self.link.fingerprint)

    async def _trickle(self) -> None:
        last = False
        while not last:
            lines, last = await self._found.get()
            while not self._found.empty() and not last and len(lines) < _BATCH:
                more, last = self._found.get_nowait()
                lines += more
            await self._send(Candidates(candidates=lines[:_BATCH], complete=last))

    async def _listen(self) -> None:
        while True:
            await self._handle(await self._talk.receive())

    async def _handle(self, heard: Heard) -> None:
        match heard.body:
            case Answer() as answer:
                await self._accept(answer, heard.fingerprint)
            case Candidates():
                await self._candidates(heard)
            case Refusal() as refusal:
                self._refused = True
                raise self._refusal(refusal)

    def _refusal(self, refusal: Refusal) -> FarsiteError:
        code = parse_code(refusal.code)
        if code is ErrorCode.PEER_UNREACHABLE:  # what we tried ourselves may say more
            return self.link.unreachable(f"No way was found. The other side: {refusal.detail} This side:")
        return FarsiteError(code, refusal.detail or "The other side refused.")

    async def abandon(self, error: FarsiteError) -> None:
        """Spare the other side the wait: our attempt is over."""
        if not self._refused:
            with suppress(FarsiteError):
                await self._send(Refusal(code=error.code, detail="The client gave up."))

    async def _accept(self, answer: Answer, fingerprint: str | None) -> None:
        if self._remote_fingerprint is not None:
            raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "The other side answered what was answered already.")
        if answer.version not in supported_versions():
            raise FarsiteError(
                ErrorCode.VERSION_UNSUPPORTED,
                f"The edge host chose protocol version {answer.version}, which this client does not speak. "
                "Update this client.",
            )
        if answer.resumed != self._purpose.resume:
            detail = "The edge host does not take the tunnel up again; open a new session."
            raise FarsiteError(ErrorCode.SESSION_ENDED, detail)
        self.answered = True
        self._remote_fingerprint = fingerprint
        await self.link.accept(answer.sdp)
        for early in self._early:
            await self._candidates(early)
        self._early.clear()

    async def _candidates(self, heard: Heard) -> None:
        """Candidates of another DTLS certificate belong to an attempt that is over."""
        if self._remote_fingerprint is None:
            if len(self._early) < MAX_EARLY:
                self._early.append(heard)
        elif isinstance(heard.body, Candidates) and heard.fingerprint == self._remote_fingerprint:
            await self.link.add_candidates(heard.body.candidates, complete=heard.body.complete)
