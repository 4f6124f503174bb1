"""Who signs checkpoints: an organization's authority; for the operator's log a key of its own."""

from __future__ import annotations

from datetime import datetime

from farsite_cloud.audit.ledger import Ledger
from farsite_cloud.audit.models import AuditChain
from farsite_cloud.organizations.keys import OrganizationKeys
from farsite_cloud.organizations.service import find_organization
from farsite_cloud.vault import Vault
from farsite_signaling.identity import (
    generate_key,
    load_private_key,
    load_public_key,
    private_pem,
    public_pem,
)
from farsite_signaling.identity.certificates import load_certificate, public_key_of
from farsite_signaling.identity.checkpoints import sign_checkpoint
from farsite_signaling.identity.keys import PrivateKey, PublicKey
from farsite_signaling.wire.audit_api import AuditCheckpoint, CheckpointClaims, Purpose
from farsite_signaling.wire.audit_chain import OPERATOR, Link
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_PURPOSE = "operator's audit log"


async def sign_place(
    ledger: Ledger, head: AuditChain, place: Link, purpose: Purpose, vault: Vault, now: datetime
) -> AuditCheckpoint:
    """Signed and kept with the log; `head` is locked."""
    claims = CheckpointClaims(chain=ledger.chain, seq=place.seq, hash=place.hash, at=now, purpose=purpose)
    signed = sign_checkpoint(await _private_key(ledger, head, vault), claims)
    await ledger.keep(signed)
    return signed


async def _private_key(ledger: Ledger, head: AuditChain, vault: Vault) -> PrivateKey:
    if ledger.chain != OPERATOR:
        organization = await find_organization(ledger.session, ledger.chain)
        if organization is None:
            raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no organization {ledger.chain!r}.")
        return OrganizationKeys(organization, vault).checkpoint_key()
    if head.sealed_key is None:
        made = generate_key()
        head.sealed_key = vault.seal(private_pem(made), _PURPOSE)
        head.public_key = public_pem(made.public_key())
    return load_private_key(vault.unseal(head.sealed_key, _PURPOSE))


async def public_key(ledger: Ledger) -> PublicKey | None:
    """None while the operator's log has never been signed, and where the organization is gone."""
    if ledger.chain == OPERATOR:
        head = await ledger.session.get(AuditChain, OPERATOR)
        return None if head is None or head.public_key is None else load_public_key(head.public_key)
    organization = await find_organization(ledger.session, ledger.chain)
    if organization is None:
        return None
    return public_key_of(load_certificate(organization.authority_certificate))
