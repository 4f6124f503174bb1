"""What main and a worker say to one another: JSON lines on a socket of the two alone.

Main believes a worker nothing that it could misuse: a worker reads what strangers send. See `docs/security.md`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from farsite_edge.remote.reach import Access
from farsite_signaling.wire.envelope import Answer, Body, Candidates, Fingerprint, Offer
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.ids import Id
from farsite_signaling.wire.path import Path, TunnelStatus
from farsite_signaling.wire.stream import OpenRequest

MAX_FROM_WORKER = 64 * 1024
MAX_FROM_MAIN = 256 * 1024
"""Longest line, bytes: an offer with its relays' certificates is the longest."""
MOST_USES = 100

Number = Annotated[int, Field(ge=0, le=2**53)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reason(_Message):
    """A `FarsiteError` on its way."""

    code: str = Field(max_length=64)
    detail: str = Field(max_length=2000)

    @classmethod
    def of(cls, error: FarsiteError) -> Reason:
        return cls(code=error.code, detail=error.detail)

    @property
    def error(self) -> FarsiteError:
        return FarsiteError(parse_code(self.code), self.detail)


# From main


class Begin(_Message):
    """First of all. `options`: fields of `PeerOptions` but the clock, with certificates as text."""

    kind: Literal["begin"] = "begin"
    session: Id
    options: dict[str, Any] = Field(repr=False)
    servers: list[IceServer] = Field(default_factory=list, repr=False)
    device_timeout: float


class Offered(_Message):
    """An offer that main verified; `link` is its number."""

    kind: Literal["offered"] = "offered"
    link: Number
    offer: Offer
    remote: str
    fingerprint: Fingerprint
    version: int
    grant: Grant
    servers: list[IceServer] = Field(repr=False)


class LinkHeard(_Message):
    """What the client said, verified."""

    kind: Literal["heard"] = "heard"
    link: Number
    body: Body
    fingerprint: Fingerprint | None = None


class LinkFailed(_Message):
    """What the client said was not sealed as it must be, or what was said to it did not arrive."""

    kind: Literal["link_failed"] = "link_failed"
    link: Number
    reason: Reason


class StreamAllowed(_Message):
    """With a descriptor when it is for the API: one end of a socket pair."""

    kind: Literal["allowed"] = "allowed"
    stream: Number
    access: Access


class StreamRefused(_Message):
    kind: Literal["refused"] = "refused"
    stream: Number
    reason: Reason
    right: str | None = None


class Doubt(_Message):
    """The network changed; `gone`: addresses that are not ours any more."""

    kind: Literal["doubt"] = "doubt"
    gone: frozenset[str]


class Report(_Message):
    """Asks for a beat now."""

    kind: Literal["report"] = "report"


class Close(_Message):
    """End the tunnel, telling the client why; then the process."""

    kind: Literal["close"] = "close"
    reason: Reason


FromMain = Annotated[
    Begin | Offered | LinkHeard | LinkFailed | StreamAllowed | StreamRefused | Doubt | Report | Close,
    Field(discriminator="kind"),
]

# From a worker


class LinkSays(_Message):
    """To be sealed and sent to the client of this session, and to nobody else."""

    kind: Literal["says"] = "says"
    link: Number
    body: Annotated[Answer | Candidates, Field(discriminator="kind")]
    fingerprint: Fingerprint


class LinkStands(_Message):
    """The first one's tunnel is open; another stands beside the one in use."""

    kind: Literal["stands"] = "stands"
    link: Number


class LinkJoined(_Message):
    """Streams moved to it."""

    kind: Literal["joined"] = "joined"
    link: Number


class LinkOver(_Message):
    """It came to nothing, for `reason`; or a further link was taken or given up."""

    kind: Literal["over"] = "over"
    link: Number
    reason: Reason | None = None


class OpenStream(_Message):
    """May this stream be opened?"""

    kind: Literal["open"] = "open"
    stream: Number
    request: OpenRequest


class StreamOver(_Message):
    """A device's stream that was allowed is connected, or is not for `reason`."""

    kind: Literal["stream_over"] = "stream_over"
    stream: Number
    reason: Reason | None = None


class DeviceUsed(_Message):
    """Bytes as the edge host sees them, in this session so far."""

    device: Id
    streams: Number
    sent: Number
    received: Number


class Standing(_Message):
    """How the tunnel is doing."""

    path: Path
    reason: str = Field(max_length=2000)
    rtt_ms: float | None = Field(default=None, ge=0, le=1e9)
    bytes_sent: Number = 0
    bytes_received: Number = 0
    streams: Number = 0
    moves: Number = 0
    last_move: str | None = Field(default=None, max_length=2000)
    last_error: str | None = Field(default=None, max_length=2100)
    away: bool = Field(default=False, description="without a link, waiting for its client")
    joinable: bool = True

    @classmethod
    def of(cls, status: TunnelStatus, *, away: bool, joinable: bool) -> Standing:
        values = status.model_dump(include=set(cls.model_fields))
        for name in ("reason", "last_move", "last_error"):
            values[name] = values[name][:2000] if values[name] is not None else None
        return cls(**values, away=away, joinable=joinable)


class Beat(_Message):
    """The worker lives. `used`: what changed since the last one."""

    kind: Literal["beat"] = "beat"
    standing: Standing | None = None
    used: list[DeviceUsed] = Field(default_factory=list, max_length=MOST_USES)


class Ended(_Message):
    """The tunnel is closed; the process ends."""

    kind: Literal["ended"] = "ended"
    reason: Reason | None = None


FromWorker = Annotated[
    LinkSays | LinkStands | LinkJoined | LinkOver | OpenStream | StreamOver | Beat | Ended,
    Field(discriminator="kind"),
]

AnyFromMain = (
    Begin | Offered | LinkHeard | LinkFailed | StreamAllowed | StreamRefused | Doubt | Report | Close
)
AnyFromWorker = LinkSays | LinkStands | LinkJoined | LinkOver | OpenStream | StreamOver | Beat | Ended

_from_main: TypeAdapter[AnyFromMain] = TypeAdapter(FromMain)
_from_worker: TypeAdapter[AnyFromWorker] = TypeAdapter(FromWorker)

M = TypeVar("M")


def encode(message: BaseModel) -> bytes:
    return message.model_dump_json().encode() + b"\n"


def parse_from_main(line: bytes) -> AnyFromMain:
    """Raises `FarsiteError` (`protocol_error`)."""
    return _parse(_from_main, line, "main")


def parse_from_worker(line: bytes) -> AnyFromWorker:
    """Raises `FarsiteError` (`protocol_error`)."""
    return _parse(_from_worker, line, "worker")


def _parse(adapter: TypeAdapter[M], line: bytes, who: str) -> M:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FarsiteError(
            ErrorCode.PROTOCOL_ERROR, f"A message of the {who} is not understood: {where}: {first['msg']}"
        ) from None
