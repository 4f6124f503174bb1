"""Asks the cloud to sign certificates of devices; the authority's key is there and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime

from farsite_edge.claim.cloud import CloudHttp
from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.preferences import Preferences
from farsite_edge.settings import EdgeSettings
from farsite_signaling.identity.certificates import load_certificate
from farsite_signaling.identity.device_certificates import is_issued_by, request_key
from farsite_signaling.identity.renewals import sign_device_request
from farsite_signaling.wire.device_certificates import DeviceCertificate, DeviceCertificateRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


class DeviceCertificates:
    """`authority` is the pinned certificate of the organization's authority, `None` while unclaimed."""

    def __init__(self, settings: EdgeSettings, keeper: IdentityKeeper, preferences: Preferences) -> None:
        self._settings = settings
        self._keeper = keeper
        self._preferences = preferences

    @property
    def authority(self) -> str | None:
        return self._keeper.claim.ca if self._keeper.claim else None

    async def sign(self, csr: str, device: str, host_name: str, addresses: list[str], days: int) -> str:
        """The certificate, PEM. Raises `FarsiteError`: `not_claimed`, `cloud_unreachable`, or what the cloud says."""
        claim = self._keeper.claim
        if claim is None:
            raise FarsiteError(
                ErrorCode.NOT_CLAIMED, "This edge host is not claimed yet: it has no authority."
            )
        request = DeviceCertificateRequest(
            certificate=claim.certificate,
            csr=csr,
            device=device,
            host_name=host_name,
            addresses=addresses,
            days=days,
            proof="",
        )
        request.proof = sign_device_request(
            self._keeper.identity, request.signed(), datetime.now(UTC).timestamp()
        )
        proxy = await self._preferences.proxy_address()
        async with CloudHttp(claim.cloud_url, proxy=proxy, ca=self._settings.cloud_ca) as cloud:
            path = "/api/v1/edge/device-certificates"
            result = await cloud.post(path, request.model_dump(), DeviceCertificate)
        self._check(result.certificate, csr, claim.ca)
        return result.certificate

    def _check(self, certificate: str, csr: str, authority: str) -> None:
        """The authority is the pinned one, whatever the answer says."""
        signed = load_certificate(certificate)
        if not is_issued_by(certificate, authority) or signed.public_key() != request_key(csr):
            detail = "The cloud signed another certificate than the one asked for."
            raise FarsiteError(ErrorCode.CERTIFICATE_INVALID, detail)
