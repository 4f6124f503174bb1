"""Messages between a peer and the hub: JSON text frames on one WebSocket.

    peer                         hub
      | -- hello ---------------> |   versions, name, certificate
      | <------------ challenge - |   nonce, hub time
      | -- proof ---------------> |   signature over HUB_CONTEXT + nonce + name
      | <-------------- welcome - |   version, heartbeat
      | <=> envelope, ping, pong  |
      | <- notice   report ->     |   cloud to peer, edge host to cloud
      | <- work_order  work_report -> |   see wire.work

An unknown `type` becomes `Unknown` and is ignored, so that a newer side may say more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from farsite_signaling.wire.envelope import Envelope
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.ids import Id, UrnText
from farsite_signaling.wire.inventory import InventoryAccepted, InventoryDelta, InventoryWanted, TagsSet
from farsite_signaling.wire.licence import LicenceNotice
from farsite_signaling.wire.work import WorkOrder, WorkReport, WorkReportAccepted

HUB_CONTEXT = b"farsite-hub-v1\0"
HUB_PATH = "/hub"
MAX_MESSAGE = 96 * 1024
MOST_HELD = 200


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Hello(_Frozen):
    type: Literal["hello"] = "hello"
    versions: list[int] = Field(max_length=32)
    name: UrnText
    certificate: str = Field(max_length=8192, description="leaf certificate, PEM")
    agent: str = Field(default="", max_length=100)


class Challenge(_Frozen):
    type: Literal["challenge"] = "challenge"
    nonce: str = Field(min_length=16, max_length=100)
    time: float = Field(description="hub clock, Unix seconds")


class Proof(_Frozen):
    type: Literal["proof"] = "proof"
    signature: str = Field(max_length=128, description="base64url, raw r‖s")


class Welcome(_Frozen):
    type: Literal["welcome"] = "welcome"
    version: int
    heartbeat: float = Field(description="seconds between pings each side sends; 2 missed close")
    time: float


class EnvelopeMessage(_Frozen):
    type: Literal["envelope"] = "envelope"
    envelope: Envelope


class Undeliverable(_Frozen):
    """The hub could not hand over the envelope with this id."""

    type: Literal["undeliverable"] = "undeliverable"
    id: Id
    code: str
    detail: str = ""


class Ping(_Frozen):
    type: Literal["ping"] = "ping"
    token: int


class Pong(_Frozen):
    """`heartbeat`: from the hub, the interval from now on, seconds; it grows with the number of peers."""

    type: Literal["pong"] = "pong"
    token: int
    heartbeat: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class SessionAnnounced(_Frozen):
    """To an edge host: a client was granted a session; servers to gather candidates from."""

    type: Literal["session_announced"] = "session_announced"
    session: Id
    client: UrnText
    ice_servers: list[IceServer] = Field(default_factory=list, max_length=16)


class SessionEnded(_Frozen):
    """To an edge host or client: the cloud ended (or never granted) this session; close its tunnel."""

    type: Literal["session_ended"] = "session_ended"
    session: Id
    code: str = ErrorCode.SESSION_ENDED
    detail: str = ""


class SessionsHeld(_Frozen):
    """From an edge host: sessions it has tunnels of. Those that are over are answered with `session_ended`."""

    type: Literal["sessions_held"] = "sessions_held"
    sessions: list[Id] = Field(max_length=MOST_HELD)


class AuditEntry(_Frozen):
    """One audited act on an edge host; `id` makes sending it twice harmless."""

    id: Id
    at: datetime
    actor: str = Field(max_length=400)
    action: str = Field(max_length=100)
    target: str = Field(default="", max_length=400)
    outcome: Literal["allowed", "refused", "failed"]
    session: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class Report(_Frozen):
    """From an edge host to the cloud: its state, and audit rows not yet acknowledged."""

    type: Literal["report"] = "report"
    id: Id
    version: str = Field(max_length=50)
    hostname: str = Field(default="", max_length=255)
    remote_access: bool
    path: str = Field(
        default="", max_length=40, description="of its newest open tunnel, a word of `path.Path`"
    )
    devices_managed: int = Field(ge=0)
    devices_other: int = Field(default=0, ge=0, description="of these, made by others than Axis")
    devices_discovered: int = Field(ge=0)
    storage: str = Field(default="ok", max_length=20, description="a word of `edge_api.StorageState`")
    storage_detail: str = Field(default="", max_length=500)
    audit: list[AuditEntry] = Field(default_factory=list, max_length=100)


class ReportAccepted(_Frozen):
    type: Literal["report_accepted"] = "report_accepted"
    id: Id


class Bye(_Frozen):
    """Last message before the hub closes: why, and whether (and after how many seconds) to come back."""

    type: Literal["bye"] = "bye"
    code: str
    detail: str = ""
    retry: bool = True
    retry_after: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Unknown(_Frozen):
    type: str = Field(max_length=100)


HubMessage = (
    Hello
    | Challenge
    | Proof
    | Welcome
    | EnvelopeMessage
    | Undeliverable
    | Ping
    | Pong
    | SessionAnnounced
    | SessionEnded
    | SessionsHeld
    | Report
    | ReportAccepted
    | WorkOrder
    | WorkReport
    | WorkReportAccepted
    | InventoryDelta
    | InventoryAccepted
    | InventoryWanted
    | TagsSet
    | LicenceNotice
    | Bye
)
_ADAPTER: TypeAdapter[HubMessage] = TypeAdapter(Annotated[HubMessage, Field(discriminator="type")])
_UNKNOWN = TypeAdapter(Unknown)


def proof_bytes(nonce: str, name: str) -> bytes:
    """What a peer signs to prove that it is `name`."""
    return HUB_CONTEXT + nonce.encode() + name.encode()


def parse_hub_message(text: str | bytes) -> HubMessage | Unknown:
    """Raises `FarsiteError` (`protocol_error`, `too_large`); nothing else, whatever the bytes."""
    size = len(text)
    if size > MAX_MESSAGE:
        raise FarsiteError(ErrorCode.TOO_LARGE, f"Message of {size} bytes; at most {MAX_MESSAGE}.")
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        if any(item["type"] == "union_tag_invalid" for item in error.errors()):
            return _parse_unknown(text)
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"Not a hub message: {where}: {first['msg']}") from None


def _parse_unknown(text: str | bytes) -> Unknown:
    try:
        return _UNKNOWN.validate_json(text)
    except ValidationError:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Message without a usable type.") from None


def dump(message: BaseModel) -> str:
    return message.model_dump_json(exclude_none=True)
