"""A browser's cookie, what it is signed in as, and the proof that a form came from a page of ours."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from datetime import timedelta
from urllib.parse import urlsplit

from aiohttp import web

from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.tokens import check_enabled, digest
from farsite_cloud.api.call import Call
from farsite_cloud.browser.models import BrowserSignIn
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

LIFETIME = timedelta(minutes=10)
_BYTES = 32
_LONGEST = 200


class Visit:
    """One request of a browser. `secret` is its cookie's value; a browser without one is given one."""

    def __init__(self, request: web.Request, call: Call) -> None:
        self._request = request
        self._call = call
        self._secure = call.services.urls.api.startswith("https:")
        # A cookie with this prefix cannot be planted by another host of the same domain (RFC 6265bis).
        self._name = "__Host-farsite-device" if self._secure else "farsite-device"
        given = request.cookies.get(self._name, "")[:_LONGEST]
        self._given = given
        self.secret = given or secrets.token_urlsafe(_BYTES)

    @property
    def form_token(self) -> str:
        return hmac.new(self.secret.encode(), b"form", hashlib.sha256).hexdigest()

    async def signed_in(self) -> BrowserSignIn | None:
        if not self._given:
            return None
        found = await self._call.session.get(BrowserSignIn, digest(self._given))
        return found if found is not None and found.expires_at > self._call.now else None

    def sign_in(self, account: Account, *, mfa: bool, organization_id: str | None = None) -> BrowserSignIn:
        """Under a new secret: one that was planted before gains nothing. Raises `sign_in_failed` when disabled."""
        check_enabled(account)
        self.secret = secrets.token_urlsafe(_BYTES)
        now = self._call.now
        signed_in = BrowserSignIn(
            id=digest(self.secret),
            account_id=account.id,
            mfa=mfa,
            organization_id=organization_id,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        self._call.session.add(signed_in)
        return signed_in

    def check_form(self, token: str) -> None:
        """The form is of our page, in this browser. Raises `forbidden`."""
        right = bool(self._given) and hmac.compare_digest(token.encode(), self.form_token.encode())
        if not right or not self._from_here():
            detail = "This form did not come from this page, or was open for too long. Open the page again."
            raise FarsiteError(ErrorCode.FORBIDDEN, detail)

    def _from_here(self) -> bool:
        headers = self._request.headers
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("Origin")
        if origin is None:
            return True
        try:
            asked = urlsplit(origin)
            host, place = asked.hostname or "", asked.netloc.lower()
        except ValueError:
            return False
        if place == urlsplit(self._call.services.urls.origin).netloc.lower():
            return True
        return place == self._request.host.lower() and _is_this_machine(host)

    def keep(self, response: web.StreamResponse) -> None:
        response.set_cookie(
            self._name,
            self.secret,
            max_age=int(LIFETIME.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Strict",
        )

    def forget(self, response: web.StreamResponse) -> None:
        response.del_cookie(self._name, path="/", secure=self._secure, httponly=True, samesite="Strict")


def _is_this_machine(host: str) -> bool:
    """A name that others' name servers do not decide on: another one may have been pointed here (DNS rebinding)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        own = socket.gethostname().lower()
        label = own.partition(".")[0]
        return host in ("localhost", own, label, f"{label}.local") or host.endswith(".localhost")
    return True
