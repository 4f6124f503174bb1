"""Identifiers and the URI names that certificates carry."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, NewType

from pydantic import AfterValidator, StringConstraints

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

OrgId = NewType("OrgId", str)
FolderId = NewType("FolderId", str)
AccountId = NewType("AccountId", str)
EdgeId = NewType("EdgeId", str)
ClientId = NewType("ClientId", str)
DeviceId = NewType("DeviceId", str)
SessionId = NewType("SessionId", str)

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
UrnText = Annotated[str, StringConstraints(pattern=r"^urn:farsite:[A-Za-z0-9:._-]{1,400}$")]

# Categories of what has no place in a name: controls, surrogates, line and paragraph separators.
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Bidirectional controls make a text look like another one (Unicode TR 36, 2.8).
_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _is_plain(character: str) -> bool:
    return character not in _BIDI and unicodedata.category(character) not in _REFUSED


def clean(text: str) -> str:
    """One line that can be shown and stored anywhere: refused characters become `\ufffd`."""
    return text if text.isprintable() else "".join(one if _is_plain(one) else "\ufffd" for one in text)


def _one_line(text: str) -> str:
    if not text.isprintable() and not all(map(_is_plain, text)):
        raise ValueError("control characters are not allowed here")
    return text


def _lines(text: str) -> str:
    _one_line(text.replace("\n", "").replace("\t", "").replace("\r", ""))
    return text


Name = Annotated[str, AfterValidator(_one_line)]
"""A text that people give to something: one line without control characters."""

Lines = Annotated[str, AfterValidator(_lines)]
"""The same with line breaks and tabs."""

_EDGE = re.compile(r"urn:farsite:([\w.-]{1,64}):edge:([\w.-]{1,64})", re.ASCII)
_CLIENT = re.compile(r"urn:farsite:([\w.-]{1,64}):user:([\w.-]{1,64}):device:([\w.-]{1,64})", re.ASCII)


@dataclass(frozen=True)
class EdgeName:
    """`urn:farsite:<org>:edge:<id>`"""

    org: OrgId
    edge: EdgeId

    def __str__(self) -> str:
        return f"urn:farsite:{self.org}:edge:{self.edge}"


@dataclass(frozen=True)
class ClientName:
    """`urn:farsite:<org>:user:<id>:device:<id>`"""

    org: OrgId
    account: AccountId
    client: ClientId

    def __str__(self) -> str:
        return f"urn:farsite:{self.org}:user:{self.account}:device:{self.client}"


PeerName = EdgeName | ClientName


def parse_name(urn: str) -> PeerName:
    """Raises `FarsiteError` (`certificate_invalid`) for anything that is not a Farsite name."""
    if match := _EDGE.fullmatch(urn):
        return EdgeName(OrgId(match[1]), EdgeId(match[2]))
    if match := _CLIENT.fullmatch(urn):
        return ClientName(OrgId(match[1]), AccountId(match[2]), ClientId(match[3]))
    raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, f"{urn[:100]!r} is not a Farsite name.")
