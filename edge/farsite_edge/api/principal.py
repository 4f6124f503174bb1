"""Who is asking, judged by the connection they came in on.

- through a tunnel: the grant the tunnel was opened with;
- on the LAN: a client certificate of the organization, and a grant for its name in `Authorization: Farsite-Grant …`
  (a certificate says who, only the grant says what they may do);
- on the administration socket of this machine: its local administrator.
"""

from __future__ import annotations

import hmac
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web
from cryptography import x509

from farsite_edge.identity.keeper import IdentityKeeper
from farsite_edge.remote.admission import Admission
from farsite_signaling.identity import verify_grant
from farsite_signaling.identity.certificates import certificate_pem
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS, Grant
from farsite_signaling.wire.rights import Right

GRANT_SCHEME = "Farsite-Grant"
LOCAL_ACTOR = "local"


class Way(StrEnum):
    TUNNEL = "tunnel"
    LAN = "lan"
    LOCAL = "local"


@dataclass(frozen=True)
class Principal:
    """`grant` is `None` for the local administrator, who may do everything."""

    way: Way
    actor: str
    grant: Grant | None = None

    @property
    def session(self) -> str | None:
        return self.grant.sid if self.grant else None

    def allows(self, right: Right, device: str | None = None) -> bool:
        return self.grant is None or self.grant.allows(right, device)

    def sees(self, device: str) -> bool:
        """Devices outside the grant do not exist for its holder."""
        return self.grant is None or self.grant.devices is None or device in self.grant.devices


class Authenticator:
    """Raises `FarsiteError` with a 401 or 403 code."""

    def __init__(
        self,
        keeper: IdentityKeeper,
        admission: Admission,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keeper = keeper
        self._admission = admission
        self._clock = clock
        self.admin_port: int | None = None
        self.admin_token: str | None = None

    def principal(self, request: web.Request) -> Principal:
        way = self.way(request)
        if way is Way.LOCAL:
            return Principal(Way.LOCAL, LOCAL_ACTOR)
        grant = _tunnel_grant(request) if way is Way.TUNNEL else self._lan_grant(request)
        self._check_session(grant)
        if way is Way.LAN:
            self._admission.open_on_lan(grant)
        return Principal(way, grant.sub, grant)

    def known(self, request: web.Request) -> str | None:
        """Whose certificate of the organization a refused request came with, if any."""
        if self.way(request) is not Way.LAN:
            return None
        try:
            return self._certificate_name(request)
        except FarsiteError:
            return None

    def way(self, request: web.Request) -> Way:
        transport = request.transport
        if transport is None:
            raise FarsiteError(ErrorCode.CLOSED, "The connection is gone.")
        if transport.get_extra_info("tunnel") is not None:
            return Way.TUNNEL
        return Way.LOCAL if self._is_local(request) else Way.LAN

    def _is_local(self, request: web.Request) -> bool:
        assert request.transport is not None
        if request.transport.get_extra_info("ssl_object") is not None:
            return False
        own = request.transport.get_extra_info("socket")
        if own is not None and own.family == getattr(socket, "AF_UNIX", object()):
            return True
        return self._has_token(request)

    def _has_token(self, request: web.Request) -> bool:
        """Where there are no unix sockets: a port on loopback, and a token only the owner of the data folder reads."""
        assert request.transport is not None
        name = request.transport.get_extra_info("sockname")
        if self.admin_token is None or not name or name[1] != self.admin_port:
            return False
        given = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self.admin_token}".encode())

    def _lan_grant(self, request: web.Request) -> Grant:
        subject = self._certificate_name(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != GRANT_SCHEME or not token:
            raise FarsiteError(
                ErrorCode.UNAUTHENTICATED,
                "The client certificate is known, but there is no grant. Get one from the cloud (a session with this "
                f"edge host) and send it as 'Authorization: {GRANT_SCHEME} …'.",
            )
        urn = self._keeper.identity.urn
        return verify_grant(
            token.strip(),
            self._keeper.grant_key,
            audience=urn,
            subject=subject,
            now=self._clock(),
            opened=self._admission.is_on_lan,
        )

    def _certificate_name(self, request: web.Request) -> str:
        assert request.transport is not None
        tls: ssl.SSLObject | None = request.transport.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True) if tls is not None else None
        if not shown:
            raise FarsiteError(
                ErrorCode.UNAUTHENTICATED, "Show a client certificate of this edge host's organization."
            )
        pem = certificate_pem(x509.load_der_x509_certificate(shown))
        name, _ = self._keeper.trust.verify(pem)
        return str(name)

    def _check_session(self, grant: Grant) -> None:
        if self._admission.has_ended(grant.sid):
            raise FarsiteError(ErrorCode.SESSION_ENDED, "The cloud ended this session. Open a new one.")
        late = self._clock() - grant.until
        if late > LEEWAY_SECONDS:
            raise FarsiteError(
                ErrorCode.GRANT_EXPIRED, f"The session ended {late:.0f} s ago. Open a new one."
            )


def _tunnel_grant(request: web.Request) -> Grant:
    assert request.transport is not None
    grant: Grant | None = request.transport.get_extra_info("tunnel").grant
    if grant is None:
        raise FarsiteError(ErrorCode.FORBIDDEN, "This tunnel carries no grant.")
    return grant
