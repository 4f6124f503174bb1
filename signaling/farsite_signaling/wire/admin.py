"""Where the administration socket of the edge host on this machine is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

FILE = "admin.json"


class AdminAddress(BaseModel):
    """Written to `admin.json` in the edge host's data folder, readable by its owner only."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    unix: str | None = None
    port: int | None = None
    token: str | None = Field(default=None, repr=False)

    @property
    def base(self) -> str:
        return "http://localhost" if self.unix else f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}
