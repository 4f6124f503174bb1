"""Finding edge hosts on the local network: one UDP query, one answer (port 6801).

The query goes to the multicast group (or to one address) and is padded with spaces, so that the answer is never
more than about twice as large: nobody can use an edge host to amplify traffic towards a forged address. The
answer goes back to the port the query came from.

    {"farsite": "discover", "versions": [1], "token": "…"}<spaces up to 512 bytes>
    {"farsite": "edge-host", "token": "…", "info": {…EdgeInfo…}}
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farsite_signaling.wire.edge_api import EdgeInfo
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import Id
from farsite_signaling.wire.version import supported_versions

LAN_GROUP = "239.255.68.1"
"""Administratively scoped group (RFC 2365): routers keep it inside the site."""

LAN_PORT = 6801
QUERY_SIZE = 512
"""Bytes a query has at least."""

MAX_QUERY = 1400
MAX_ANSWER = 2 * QUERY_SIZE


class LanQuery(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    farsite: Literal["discover"] = "discover"
    versions: list[int] = Field(default_factory=supported_versions, max_length=32)
    token: Id


class LanAnswer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    farsite: Literal["edge-host"] = "edge-host"
    token: Id
    info: EdgeInfo


def make_query(token: str) -> bytes:
    """A padded query; answers carry the same `token`."""
    return LanQuery(token=token).model_dump_json().encode().ljust(QUERY_SIZE)


def parse_query(data: bytes) -> LanQuery:
    """Raises `FarsiteError` (`protocol_error`) and nothing else; queries without their padding are refused."""
    if not QUERY_SIZE <= len(data) <= MAX_QUERY:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, f"A query has {QUERY_SIZE} to {MAX_QUERY} bytes.")
    try:
        return LanQuery.model_validate_json(data)
    except ValidationError:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Not a discovery query.") from None


def make_answer(token: str, info: EdgeInfo) -> bytes:
    """Raises `FarsiteError` (`too_large`) when the answer would amplify."""
    data = LanAnswer(token=token, info=info).model_dump_json(exclude_none=True).encode()
    if len(data) > MAX_ANSWER:
        raise FarsiteError(ErrorCode.TOO_LARGE, f"Discovery answer of {len(data)} bytes.")
    return data


def parse_answer(data: bytes) -> LanAnswer:
    """Raises `FarsiteError` (`protocol_error`) and nothing else."""
    try:
        return LanAnswer.model_validate_json(data[: MAX_ANSWER + 1])
    except ValidationError:
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Not an answer of an edge host.") from None
