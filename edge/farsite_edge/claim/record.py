"""What claiming leaves behind."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class ClaimRecord(BaseModel):
    """Pinned when claimed: the authority, the key that signs grants, and where cloud and hub are. PEM texts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cloud_url: str
    hub_url: str
    urn: str
    edge_id: str
    edge_name: str
    organization_id: str
    organization_name: str
    certificate: str = Field(repr=False)
    ca: str = Field(repr=False)
    grant_key: str = Field(repr=False)
    claimed_at: datetime

    def goes_on_from(self, before: ClaimRecord | None) -> bool:
        """Whether it is the same edge host as before: its name alone proves nothing, another cloud can give the same."""
        return before is not None and (self.urn, self.ca) == (before.urn, before.ca)

    @classmethod
    def from_text(cls, text: str) -> ClaimRecord:
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            raise FarsiteError(
                ErrorCode.STORAGE_FAILED, "The stored claim is damaged. Claim this edge host again."
            ) from None
