"""What the cloud said of the organization's licences: kept, so that it holds while the cloud is out of reach."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import BaseModel, ValidationError

from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.store import Facts
from farsite_signaling.identity.licences import verify_statement
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.licence import LicenceClaims, LicenceState

FACT = "licence"
REMEMBER_EVERY = 3600.0
logger = logging.getLogger(__name__)


class _Kept(BaseModel):
    claims: LicenceClaims
    seen: float


class LicenceGate:
    """`load()` first. Without a word from the cloud nothing is limited: it does not ask for licences then.

    Time does not go back: it is at least what the cloud said last, and what this machine's clock was since.
    """

    def __init__(self, facts: Facts, keeper: IdentityKeeper, clock: Callable[[], float] = time.time) -> None:
        self._facts = facts
        self._keeper = keeper
        self._clock = clock
        self._claims: LicenceClaims | None = None
        self._seen = 0.0

    def load(self) -> None:
        text = self._facts.get(FACT)
        if text is None:
            return
        try:
            kept = _Kept.model_validate_json(text)
        except ValidationError:
            logger.error("what was kept of the licences is damaged; the cloud tells it again")
        else:
            self._claims, self._seen = kept.claims, kept.seen

    async def run(self) -> None:
        """Remember the time, while there is something that runs out."""
        while True:
            if self._claims is not None and self._now() - self._seen >= REMEMBER_EVERY:
                self._seen = self._now()
                await self._keep(self._claims)
            await asyncio.sleep(REMEMBER_EVERY)

    @property
    def state(self) -> LicenceState | None:
        """As of now: what was told may have run out since."""
        claims = self._current()
        if claims is None:
            return None
        return LicenceState.EXPIRED if self._over(claims) else claims.state

    async def take(self, statement: str) -> None:
        """Raises `signature_invalid` for a statement that is not the cloud's for this edge host."""
        identity = self._keeper.identity
        told = verify_statement(statement, self._keeper.grant_key, audience=identity.urn)
        await self.learn(LicenceClaims.model_validate(told.model_dump()))

    async def learn(self, claims: LicenceClaims) -> None:
        """From a statement or a grant whose signature was verified. An older one changes nothing."""
        if self._keeper.claim is None or claims.org != self._keeper.claim.organization_id:
            return
        current = self._current()
        if current is not None and claims.at <= current.at:
            return
        before = None if current is None else (current.state, current.changes_until)
        # The cloud's word is later than whatever a wrong clock here said.
        self._claims, self._seen = claims, float(claims.at)
        if before != (claims.state, claims.changes_until):
            logger.info("licences: %s", claims.state)
            await self._keep(claims)

    async def _keep(self, claims: LicenceClaims) -> None:
        await self._facts.set({FACT: _Kept(claims=claims, seen=self._seen).model_dump_json()})

    def refusal(self) -> FarsiteError | None:
        """`licence_expired` when devices may not be changed now."""
        claims = self._current()
        if claims is None or claims.changes_until is None or not self._over(claims):
            return None
        until = datetime.fromtimestamp(claims.changes_until, UTC)
        detail = (
            "The organization's licences do not cover this edge host's devices: since "
            f"{until:%Y-%m-%d} they are seen, and not changed. Redeem a licence: farsite licences redeem KEY"
        )
        return FarsiteError(ErrorCode.LICENCE_EXPIRED, detail)

    def _over(self, claims: LicenceClaims) -> bool:
        return claims.changes_until is not None and self._now() >= claims.changes_until

    def _now(self) -> float:
        return max(self._clock(), self._seen)

    def _current(self) -> LicenceClaims | None:
        """Another organization's licences are none of ours."""
        claim = self._keeper.claim
        ours = claim is not None and self._claims is not None and self._claims.org == claim.organization_id
        return self._claims if ours else None
