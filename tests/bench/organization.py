"""An organization of one edge host and one client, and the grants between them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from farsite_signaling.identity import (
    CertificateAuthority,
    Identity,
    generate_key,
    make_request,
    public_pem,
    sign_grant,
)
from farsite_signaling.wire.cloud_api import SessionTicket
from farsite_signaling.wire.grant import Grant
from farsite_signaling.wire.ice import IceServer
from farsite_signaling.wire.ids import AccountId, ClientId, ClientName, EdgeId, EdgeName, OrgId, PeerName
from farsite_signaling.wire.rights import Role, rights_of


class Organization:
    """Saves both identities, `edge` and `client`, `ca.pem` and `grant.pem` into a folder."""

    def __init__(self, folder: Path) -> None:
        authority = CertificateAuthority.create("bench")
        self._grant_key = generate_key()
        self.edge = _issue(authority, EdgeName(OrgId("bench"), EdgeId("edge")))
        self.client = _issue(authority, ClientName(OrgId("bench"), AccountId("a"), ClientId("c")))
        for name, identity in (("edge", self.edge), ("client", self.client)):
            (folder / name).mkdir()
            identity.save(folder / name)
        self.trust_pem = authority.pem
        (folder / "ca.pem").write_text(authority.pem)
        (folder / "grant.pem").write_text(public_pem(self._grant_key.public_key()))

    def ticket(self, session: str, servers: list[IceServer] | None = None) -> SessionTicket:
        now = int(time.time())
        grant = Grant(
            iss="bench",
            aud=self.edge.urn,
            sub=self.client.urn,
            sid=session,
            org="bench",
            role=Role.ADMIN,
            rights=rights_of(Role.ADMIN),
            iat=now,
            nbf=now,
            exp=now + 60,
            until=now + 3600,
        )
        return SessionTicket(
            session=session,
            grant=sign_grant(self._grant_key, grant),
            edge=self.edge.urn,
            edge_name="bench",
            hub_url="pipe:",
            ice_servers=servers or [],
            expires_at=datetime.now(UTC) + timedelta(hours=1),
            server_time=datetime.now(UTC),
        )


def _issue(authority: CertificateAuthority, name: PeerName) -> Identity:
    key = generate_key()
    return Identity.from_pem(key, authority.issue(make_request(key, "bench"), name))
