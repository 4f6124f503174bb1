"""An organization's private keys, and what is issued with them."""

from __future__ import annotations

from datetime import datetime, timedelta

from farsite_cloud.organizations.models import Organization
from farsite_cloud.vault import Vault
from farsite_signaling.identity import (
    CertificateAuthority,
    generate_key,
    load_private_key,
    private_pem,
    public_pem,
    sign_grant,
    sign_order,
)
from farsite_signaling.identity.certificates import certificate_pem, load_certificate
from farsite_signaling.identity.device_certificates import device_names, sign_device_certificate
from farsite_signaling.identity.keys import PrivateKey
from farsite_signaling.identity.licences import sign_statement
from farsite_signaling.wire import cloud_api as wire
from farsite_signaling.wire.device_certificates import DeviceCertificate, DeviceCertificateRequest
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.ids import PeerName
from farsite_signaling.wire.licence import LicenceStatement
from farsite_signaling.wire.work import Order


def seal_new_keys(organization: Organization, vault: Vault, now: datetime) -> None:
    authority = CertificateAuthority.create(organization.name, now)
    grant_key = generate_key()
    organization.authority_certificate = authority.pem
    organization.authority_key = vault.seal(authority.private_pem(), _authority(organization))
    organization.grant_public_key = public_pem(grant_key.public_key())
    organization.grant_key = vault.seal(private_pem(grant_key), _grants(organization))


def _authority(organization: Organization) -> str:
    return f"organization {organization.id} authority"


def _grants(organization: Organization) -> str:
    return f"organization {organization.id} grants"


class OrganizationKeys:
    """Signs for one organization; keys are unsealed for each signature and not kept."""

    def __init__(self, organization: Organization, vault: Vault) -> None:
        self._organization = organization
        self._vault = vault

    def enrol(self, csr: str, name: PeerName, hub_url: str, now: datetime) -> wire.Enrolment:
        """Raises `invalid_request` for a request that cannot be signed."""
        organization = self._organization
        certificate = self._open_authority().issue(csr, name, now=now)
        return wire.Enrolment(
            name=str(name),
            certificate=certificate,
            ca=organization.authority_certificate,
            grant_key=organization.grant_public_key,
            hub_url=hub_url,
            expires_at=load_certificate(certificate).not_valid_after_utc,
            server_time=now,
        )

    def sign_device(
        self, request: DeviceCertificateRequest, lifetime: timedelta, now: datetime
    ) -> DeviceCertificate:
        """Raises `invalid_request` for a request that cannot be signed."""
        authority = load_certificate(self._organization.authority_certificate)
        names = device_names(request.device, request.host_name, request.addresses)
        signed = sign_device_certificate(
            self.checkpoint_key(),
            authority,
            request.csr,
            names,
            device=request.device,
            now=now,
            lifetime=lifetime,
        )
        return DeviceCertificate(certificate=certificate_pem(signed), expires_at=signed.not_valid_after_utc)

    def sign_grant(self, grant: Grant) -> str:
        key = self._vault.unseal(self._organization.grant_key, _grants(self._organization))
        return sign_grant(load_private_key(key), grant)

    def sign_licence_statement(self, statement: LicenceStatement) -> str:
        key = self._vault.unseal(self._organization.grant_key, _grants(self._organization))
        return sign_statement(load_private_key(key), statement)

    def sign_order(self, order: Order) -> str:
        key = self._vault.unseal(self._organization.grant_key, _grants(self._organization))
        return sign_order(load_private_key(key), order)

    def checkpoint_key(self) -> PrivateKey:
        """The authority's own: members pinned its certificate when they enrolled."""
        return load_private_key(
            self._vault.unseal(self._organization.authority_key, _authority(self._organization))
        )

    def check(self) -> None:
        """Raises `storage_failed` when they were sealed with another key than the vault's."""
        self._vault.unseal(self._organization.grant_key, _grants(self._organization))

    def _open_authority(self) -> CertificateAuthority:
        key = self._vault.unseal(self._organization.authority_key, _authority(self._organization))
        return CertificateAuthority.load(key, self._organization.authority_certificate)
