"""Claiming: one request to the cloud, everything checked, then written at once."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable
from datetime import UTC, datetime

from farsite_edge.claim import pending
from farsite_edge.claim.check import check_claim, check_date_header
from farsite_edge.claim.cloud import CloudHttp, normal_cloud_url
from farsite_edge.claim.record import ClaimRecord
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.preferences import Preferences
from farsite_edge.settings import EdgeSettings
from farsite_edge.store import Facts
from farsite_edge.store.repair import CLAIM_LOST
from farsite_edge.version import __version__
from farsite_signaling.identity import make_request
from farsite_signaling.wire.cloud_api import ClaimResult
from farsite_signaling.wire.edge_api import ClaimRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.ids import clean

_LOST = (
    "The database of this edge host was damaged, and whose it is could not be read. Claim it on its machine: "
    "farsite edge claim CODE --cloud URL"
)
logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Claimer:
    """Used by the LAN API and, when no edge host runs, by the command line. One claim at a time."""

    def __init__(
        self,
        settings: EdgeSettings,
        facts: Facts,
        keeper: IdentityKeeper,
        preferences: Preferences,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._keeper = keeper
        self._preferences = preferences
        self._clock = clock
        self._claiming = asyncio.Lock()

    async def claim(self, request: ClaimRequest, *, local: bool = False) -> ClaimRecord:
        """`local`: for the administrator of this machine, who may leave an organization (`request.again`).

        Raises `FarsiteError`; the edge host is then as it was before.
        """
        async with self._claiming:
            if not (local and request.again):
                self._refuse_second()
            if not local and self._facts.get(CLAIM_LOST) is not None:
                raise FarsiteError(ErrorCode.ALREADY_CLAIMED, _LOST)
            record = await self._ask(request)
            values = await self._values(request, record)
            await self._keeper.store_claim(record, {**values, pending.FACT: None, CLAIM_LOST: None})
        logger.info("claimed as %s into %s", record.urn, record.organization_name)
        return record

    async def _values(self, request: ClaimRequest, record: ClaimRecord) -> dict[str, str | None]:
        values = await self._preferences.claimed_values(request, record.edge_name)
        if record.goes_on_from(self._keeper.claim) and not request.remote_access:
            # The same edge host as before: what was switched on stays on.
            del values["remote_access"]
        return values

    def _refuse_second(self) -> None:
        claim = self._keeper.claim
        if claim is not None:
            raise FarsiteError(
                ErrorCode.ALREADY_CLAIMED,
                f"This edge host already belongs to the organization {claim.organization_name!r}. To take it elsewhere, "
                "run 'farsite edge claim … --again' on its machine.",
            )

    async def _ask(self, request: ClaimRequest) -> ClaimRecord:
        url = normal_cloud_url(request.cloud_url, allow_http=self._settings.allow_http_cloud)
        proxy = await self._proxy(request)
        async with CloudHttp(url, proxy=proxy, ca=self._settings.cloud_ca) as cloud:
            # The clock is compared before the code is spent.
            check_date_header(await cloud.date(), self._clock())
            code = request.code.get_secret_value().strip()
            claim = await pending.begin(self._facts, url, code, self._body())
            body = {"code": code, **claim.body}
            result = await cloud.post("/api/v1/claims", body, ClaimResult, key=claim.key)
        return check_claim(result, self._keeper.key, url, self._clock())

    async def _proxy(self, request: ClaimRequest) -> str | None:
        if request.proxy_address is not None:
            return request.proxy_address.get_secret_value() or None
        return await self._preferences.proxy_address()

    def _body(self) -> dict[str, str]:
        return {
            "csr": make_request(self._keeper.key, f"edge {self._keeper.edge_id}"),
            "version": __version__,
            "hostname": clean(platform.node()[:255]),
        }
