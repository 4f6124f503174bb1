"""Password and second factor, typed into a page: counted and audited like any sign-in."""

from __future__ import annotations

from pydantic import SecretStr

from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.proving import mail_code_even_refused
from farsite_cloud.accounts.proving import prove as prove_factor
from farsite_cloud.accounts.signing_in import candidate, check_password
from farsite_cloud.api.call import Call
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

_MAILED = "A code was mailed to you: go back, and type it beside your password."


async def prove(call: Call, email: str, password: str, code: str) -> tuple[Account, bool]:
    """The account, and whether a second factor was proven. Raises `sign_in_failed`, `mfa_required`, `rate_limited`."""
    who = await candidate(call, email)
    with call.act("account.browser_sign_in", actor=who.email, organizations=who.organizations):
        account = await check_password(call, who, SecretStr(password))
        if not code and who.factors.codes_by_mail and not who.factors.app:
            await mail_code_even_refused(call, account)
            raise FarsiteError(ErrorCode.MFA_REQUIRED, _MAILED)
        proven = await prove_factor(call, account, who.factors, SecretStr(code) if code else None, None)
    await who.guess.right()
    return account, proven
