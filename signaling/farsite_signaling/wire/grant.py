"""The grant: what the cloud lets one client do on one edge host in one session.

A JWS (RFC 7515, ES256) signed by the organization's grant key, which the edge host pinned when claimed.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from farsite_signaling.wire.ids import Id, UrnText
from farsite_signaling.wire.licence import LicenceClaims
from farsite_signaling.wire.rights import ROLE_RIGHTS, Right, Role

GRANT_TYPE = "farsite-grant+jwt"
LEEWAY_SECONDS = 300


class Grant(BaseModel):
    """Claims of a grant. Times are Unix seconds; `exp` limits opening, `until` the session itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    iss: UrnText | str
    aud: UrnText
    sub: UrnText
    sid: Id
    org: Id
    role: Role
    rights: frozenset[Right]
    devices: frozenset[str] | None = Field(default=None, description="None: every device")
    email: str = ""
    iat: int
    nbf: int
    exp: int
    until: int
    licence: LicenceClaims | None = Field(default=None, description="for edge hosts the cloud does not reach")

    @field_validator("rights", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """Rights a newer cloud knows and we do not are nobody's here; the rest of the grant holds."""
        if not isinstance(value, list | tuple | set | frozenset):
            return value
        return [right for right in value if right in set(Right)]

    def allows(self, right: Right, device: str | None = None) -> bool:
        """Whether the session may use `right` (on `device`). Never more than its role has."""
        if right not in self.rights or right not in ROLE_RIGHTS[self.role]:
            return False
        return device is None or self.devices is None or device in self.devices
