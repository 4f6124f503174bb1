"""TLS of the API on the LAN."""

from __future__ import annotations

import ssl
from pathlib import Path

from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.store.failures import storage_errors
from farsite_signaling.identity import private_pem
from farsite_signaling.identity.certificates import certificate_pem
from farsite_signaling.identity.keys import write_private

CHAIN_FILE = "tls.pem"
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME (OpenSSL's x509_vfy.h)."""


class ServerTls:
    """One context for the life of the process; `refresh()` makes new connections use what changed.

    A client certificate is asked for but not demanded by TLS, so that a missing one gets an answer that says so.
    One that is shown must be of the organization: the handshake fails otherwise. `Authenticator` checks its dates.
    """

    def __init__(self, folder: Path, keeper: IdentityKeeper) -> None:
        self._path = folder / CHAIN_FILE
        self._keeper = keeper
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        # No resumption: every connection shows its certificate to the rules of now.
        self.context.num_tickets = 0
        self.context.options |= ssl.OP_NO_TICKET
        self.context.set_alpn_protocols(["http/1.1"])
        # Dates are judged when a request is, so that an expired certificate and a wrong clock are answered in words.
        self.context.verify_flags |= _NO_CHECK_TIME

    def refresh(self) -> None:
        """After loading, claiming and renewing."""
        chain = private_pem(self._keeper.key) + certificate_pem(self._keeper.certificate).encode()
        with storage_errors(self._path):
            # The ssl module loads keys from files only.
            write_private(self._path, chain)
            self.context.load_cert_chain(self._path)
        if self._keeper.claim is not None:
            self.context.load_verify_locations(cadata=self._keeper.claim.ca)
            self.context.verify_mode = ssl.CERT_OPTIONAL
