"""Signing in through a browser, for `CloudClient` (RFC 8628)."""

from __future__ import annotations

import asyncio
import time

from pydantic import SecretStr

from farsite_client.calls import CloudCalls
from farsite_signaling.wire.cloud_api import SignInResult
from farsite_signaling.wire.device_sign_in import DeviceSignIn, DeviceSignInRequest, DeviceTokenRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

SLOWER = 5.0
_GO_ON = (
    ErrorCode.AUTHORIZATION_PENDING,
    ErrorCode.SLOW_DOWN,
    ErrorCode.CLOUD_UNREACHABLE,
    ErrorCode.UNAVAILABLE,
    ErrorCode.RATE_LIMITED,
)


class DeviceSignInCalls(CloudCalls):
    async def start_device_sign_in(self, name: str = "", email: str | None = None) -> DeviceSignIn:
        """Show its address and user code; with `email` only that account can approve."""
        return await self._ask(
            "POST", "/auth/device", DeviceSignIn, DeviceSignInRequest(name=name, email=email)
        )

    async def wait_for_device_sign_in(self, started: DeviceSignIn) -> SignInResult:
        """Ask until somebody answered in the browser. Raises `access_denied`, `expired_token`, `code_invalid`."""
        body = DeviceTokenRequest(device_code=SecretStr(started.device_code))
        interval, ends = float(started.interval), time.monotonic() + started.expires_in
        while True:
            await asyncio.sleep(interval)
            try:
                result = await self._ask("POST", "/auth/device/token", SignInResult, body)
            except FarsiteError as error:
                if error.code not in _GO_ON or time.monotonic() >= ends:
                    raise
                interval = _next(interval, error)
            else:
                self.token = result.token
                return result


def _next(interval: float, error: FarsiteError) -> float:
    """RFC 8628, 3.5: slower when told so, and when nobody answers."""
    if error.code is ErrorCode.AUTHORIZATION_PENDING:
        return interval
    return interval + max(SLOWER, error.retry_after or 0.0)
