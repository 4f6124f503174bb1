"""A claim that is under way, written down before the cloud is asked.

The cloud uses the setup code up before its answer arrives. An edge host that is stopped in between repeats the very
same request with the same key when it is given the code again, and gets the same answer.
"""

from __future__ import annotations

import hashlib
import uuid

from pydantic import BaseModel, ConfigDict, ValidationError

from farsite_edge.store import Facts

FACT = "pending_claim"


class PendingClaim(BaseModel):
    """`code` is a digest of the code as typed; `body` the request without it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    code: str
    key: str
    body: dict[str, str]


async def begin(facts: Facts, url: str, code: str, body: dict[str, str]) -> PendingClaim:
    """The one under way for this code and cloud, else a new one. Raises `disk_full`, `storage_failed`: a claim that
    could not be kept is not asked for."""
    digest = hashlib.sha256(code.encode()).hexdigest()
    known = _read(facts.get(FACT))
    if known is not None and (known.url, known.code) == (url, digest):
        return known
    made = PendingClaim(url=url, code=digest, key=uuid.uuid4().hex, body=body)
    await facts.set({FACT: made.model_dump_json()})
    return made


def _read(text: str | None) -> PendingClaim | None:
    try:
        return PendingClaim.model_validate_json(text) if text else None
    except ValidationError:
        return None
