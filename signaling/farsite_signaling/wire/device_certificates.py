"""HTTPS certificates of devices: what an edge host asks its cloud to sign (`POST /api/v1/edge/device-certificates`)."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

SERIAL = r"^[0-9A-F]{12}$"
HOST_NAME = r"^$|^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
MAX_DAYS = 825


class DeviceCertificateRequest(BaseModel):
    """`csr` gives the key and nothing else: the cloud makes the names from `device`, `host_name` (one label) and those
    `addresses` that are of private networks. `proof` is over all of it, by the key of `certificate`."""

    model_config = ConfigDict(extra="forbid")

    certificate: str = Field(max_length=8192)
    csr: str = Field(max_length=16_384)
    device: str = Field(pattern=SERIAL)
    host_name: str = Field(default="", pattern=HOST_NAME)
    addresses: list[str] = Field(default_factory=list, max_length=8)
    days: int = Field(default=365, ge=1, le=MAX_DAYS)
    proof: str = Field(max_length=4096, repr=False)

    def signed(self) -> str:
        """What the proof is over."""
        return "\n".join([self.csr, self.device, self.host_name, ",".join(self.addresses), str(self.days)])


class DeviceCertificate(BaseModel):
    model_config = ConfigDict(extra="ignore")

    certificate: str
    expires_at: datetime
