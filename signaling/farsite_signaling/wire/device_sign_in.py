"""REST schemas of signing in through a browser: the device authorization grant (RFC 8628), as JSON.

device                        cloud                       browser
  | POST /auth/device -------> |
  | <- device_code, user_code  |
  |  shows address and user_code ------------------------> |
  | POST /auth/device/token -> |  <- signs in, approves -- |
  | <- authorization_pending   |
  | … every `interval` s       |
  | <- token                   |
"""

from __future__ import annotations

from pydantic import Field

from farsite_signaling.wire.cloud_api import Email, Secret
from farsite_signaling.wire.ids import Name
from farsite_signaling.wire.schema import _Request, _Schema


class DeviceSignInRequest(_Request):
    """`name` is what the browser shows; with `email` only that account may approve."""

    name: Name = Field(default="", max_length=100)
    email: Email | None = None


class DeviceSignIn(_Schema):
    """RFC 8628, 3.2. Seconds."""

    device_code: str = Field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class DeviceTokenRequest(_Request):
    """Answered with `SignInResult`, or 400: `authorization_pending`, `slow_down`, `access_denied`, `expired_token`.

    After `slow_down` wait 5 s longer between requests, from then on (RFC 8628, 3.5).
    """

    device_code: Secret
