"""Password and second factor, typed into a page: counted and audited like any sign-in."""

from __future__ import annotations

from pydantic import SecretStr

from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.routes import begin_attempt, look_up, second_factor
from farsite_cloud.api.call import Call
from farsite_signaling.wire.cloud_api import SignInRequest
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


async def prove(call: Call, email: str, password: str, code: str) -> tuple[Account, bool]:
    """The account, and whether a second factor was proven. Raises `sign_in_failed`, `mfa_required`, `rate_limited`."""
    body = SignInRequest(email=email, password=SecretStr(password), code=SecretStr(code) if code else None)
    limits = call.services.limits
    await limits.address.check(call.source)
    account, organizations = await look_up(call, email)
    await begin_attempt(call, email)
    actor = account.email if account is not None else ""
    with call.act("account.browser_sign_in", actor=actor, organizations=organizations):
        password_hash = account.password_hash if account is not None else None
        right = await call.services.passwords.verify(password_hash, password)
        if account is None or not right:
            raise FarsiteError(ErrorCode.SIGN_IN_FAILED, "The e-mail address or the password is wrong.")
        proven = await second_factor(call, account, body)
    await limits.account.succeeded(account.email)
    await limits.address.succeeded(call.source)
    return account, proven
