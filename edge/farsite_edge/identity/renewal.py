"""A new certificate well before the old one ends."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from farsite_edge.claim.check import check_certificate, check_clock
from farsite_edge.claim.cloud import CloudHttp
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.preferences import Preferences
from farsite_edge.settings import EdgeSettings
from farsite_signaling.identity import make_request
from farsite_signaling.identity.renewals import sign_renewal
from farsite_signaling.wire.cloud_api import Enrolment, RenewalRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

RETRY = 600.0
LONGEST_SLEEP = 3600.0
logger = logging.getLogger(__name__)


def renewal_time(certificate: x509.Certificate, jitter: float) -> datetime:
    """At two thirds of the life, and up to a tenth later (`jitter` 0 to 1), so that a fleet does not come at once."""
    life: timedelta = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_before_utc + life * (2 / 3 + jitter * 0.1)


class Renewal:
    """`on_renewed` makes TLS and hub use the new certificate. The old one stays valid until its own end."""

    def __init__(
        self,
        settings: EdgeSettings,
        keeper: IdentityKeeper,
        preferences: Preferences,
        on_renewed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._keeper = keeper
        self._preferences = preferences
        self._on_renewed = on_renewed
        self._jitter = random.random()  # noqa: S311

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds_left())
            if self._keeper.claim is not None and self._seconds_left() <= 0:
                await self._attempt()

    async def renew(self) -> None:
        """Raises `FarsiteError`; the certificate in use stays then."""
        claim = self._keeper.claim
        if claim is None:
            raise FarsiteError(ErrorCode.NOT_CLAIMED, "This edge host is not claimed yet.")
        identity, now = self._keeper.identity, datetime.now(UTC)
        csr = make_request(self._keeper.key, f"edge {claim.edge_id}")
        proof = sign_renewal(identity, csr, now.timestamp())
        request = RenewalRequest(certificate=claim.certificate, csr=csr, proof=proof)
        proxy = await self._preferences.proxy_address()
        async with CloudHttp(claim.cloud_url, proxy=proxy, ca=self._settings.cloud_ca) as cloud:
            result = await cloud.post("/api/v1/edge/renewals", request.model_dump(), Enrolment)
        check_clock(result.server_time, now)
        # The authority stays the pinned one, whatever the answer says.
        name = check_certificate(result.certificate, claim.ca, self._keeper.key, now)
        if str(name) != claim.urn:
            raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, "The new certificate is for another edge host.")
        await self._keeper.store_claim(claim.model_copy(update={"certificate": result.certificate}), {})
        logger.info("certificate renewed until %s", self._keeper.certificate.not_valid_after_utc)
        self._on_renewed()

    async def _attempt(self) -> None:
        try:
            await self.renew()
        except FarsiteError as error:
            logger.warning("certificate not renewed: %s", error)
            await asyncio.sleep(RETRY)

    def _seconds_left(self) -> float:
        if self._keeper.claim is None:
            return LONGEST_SLEEP
        due = renewal_time(self._keeper.certificate, self._jitter)
        left = (due - datetime.now(UTC)).total_seconds()
        return min(max(left, 0.0), LONGEST_SLEEP)
