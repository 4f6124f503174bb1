"""Keys, certificates and signatures that hub, peers and cloud share. No I/O but reading and writing key files."""

from farsite_signaling.identity.authority import CertificateAuthority
from farsite_signaling.identity.certificates import (
    OrganizationTrust,
    certificate_name,
    fingerprint,
    make_request,
)
from farsite_signaling.identity.grants import sign_grant, verify_grant
from farsite_signaling.identity.identity import Identity
from farsite_signaling.identity.keys import (
    generate_key,
    load_private_key,
    load_public_key,
    private_pem,
    public_pem,
    sign,
    verify,
)
from farsite_signaling.identity.orders import sign_order, verify_order
from farsite_signaling.identity.renewals import (
    sign_relay_check,
    sign_renewal,
    verify_relay_check,
    verify_renewal,
)

__all__ = [
    "CertificateAuthority",
    "Identity",
    "OrganizationTrust",
    "certificate_name",
    "fingerprint",
    "generate_key",
    "load_private_key",
    "load_public_key",
    "make_request",
    "private_pem",
    "public_pem",
    "sign",
    "sign_grant",
    "sign_order",
    "sign_relay_check",
    "sign_renewal",
    "verify",
    "verify_grant",
    "verify_order",
    "verify_relay_check",
    "verify_renewal",
]
