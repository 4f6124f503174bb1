"""Licences as they travel: keys made by a licence authority, and what an edge host is told of its organization's.

Keys are JWS (RFC 7515) by the operator's licence authority, statements by the organization's grant key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from farsite_signaling.wire.ids import Id, Name, UrnText

KEY_TYPE = "farsite-licence+jwt"
STATEMENT_TYPE = "farsite-licence-statement+jwt"
GRACE_DAYS = 30
MOST_LICENCES = 1_000_000
_LAST = 7258118400
"""The year 2200."""


class LicenceKind(StrEnum):
    """`device`: one Axis device. `universal`: any device, of any maker; one left over serves an Axis device too."""

    DEVICE = "device"
    UNIVERSAL = "universal"


class LicenceState(StrEnum):
    """`unlicensed`: the operator runs this cloud without licences, and nothing is limited."""

    UNLICENSED = "unlicensed"
    TRIAL = "trial"
    LICENSED = "licensed"
    GRACE = "grace"
    EXPIRED = "expired"


class LicenceKey(BaseModel):
    """Claims of a key. Times are Unix seconds: from `starts` on, before `ends`. `org` None: for whoever redeems it.

    `cloud`: address of the only cloud that takes it. A key for anybody anywhere is good once in every cloud that knows
    its authority: they know nothing of one another.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    jti: Id
    iss: Name = Field(max_length=100)
    kind: LicenceKind
    count: int = Field(ge=1, le=MOST_LICENCES)
    starts: int = Field(ge=0, le=_LAST)
    ends: int = Field(ge=0, le=_LAST)
    org: Id | None = None
    cloud: str | None = Field(default=None, min_length=1, max_length=300)
    iat: int = Field(ge=0, le=_LAST)

    @model_validator(mode="after")
    def _in_order(self) -> LicenceKey:
        if self.ends <= self.starts:
            raise ValueError("a licence ends after it starts")
        return self


class LicenceClaims(BaseModel):
    """What an edge host goes by. After `changes_until` (Unix seconds; None: no end) devices are seen and not changed.

    The newest by `at` counts, so that a licence that was renewed is not undone by an older statement.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    org: Id
    at: int = Field(ge=0, le=2 * _LAST)
    state: LicenceState
    changes_until: int | None = Field(default=None, ge=0, le=2 * _LAST)


class LicenceStatement(LicenceClaims):
    """The same, for one edge host."""

    aud: UrnText


class LicenceNotice(BaseModel):
    """Hub message to an edge host: a signed `LicenceStatement`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["licence"] = "licence"
    statement: str = Field(max_length=4096)
