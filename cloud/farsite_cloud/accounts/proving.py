"""A second factor, proven: by a code of the app, of a mail, of the recovery list, or by a passkey."""

from __future__ import annotations

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from farsite_cloud.accounts import mail_codes, mfa
from farsite_cloud.accounts.factors import Factors, missing_factor
from farsite_cloud.accounts.models import Account
from farsite_cloud.api.call import Call
from farsite_cloud.mail.letters import Letter
from farsite_cloud.passkeys.signing import prove_passkey
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.passkeys import PasskeyAssertion


async def prove(
    call: Call, account: Account, factors: Factors, code: SecretStr | None, passkey: PasskeyAssertion | None
) -> bool:
    """Whether there is a second factor, which was proven then. Raises `mfa_required`, `sign_in_failed`."""
    if not factors.on:
        return False
    if passkey is not None:
        await prove_passkey(call, passkey, account)
    elif code is not None:
        await prove_code(call, account, factors, code.get_secret_value())
    else:
        raise missing_factor(factors)
    return True


async def prove_code(call: Call, account: Account, factors: Factors, code: str) -> None:
    """Raises `sign_in_failed`."""
    plain = "".join(code[:100].split())
    vault, account_id = call.services.vault, account.id
    if not mail_codes.looks_like_one(plain):
        return await mfa.prove(call.session, account, plain, vault, call.now)
    if factors.codes_by_mail and await mail_codes.use_code(call.session, account, plain, vault, call.now):
        await call.services.limits.resends.succeeded(account.id)
        return None
    # Kept although the attempt is refused: few tries are what makes a short code strong.
    call.even_refused(lambda session: mail_codes.count_try(session, account_id))
    detail = "The code is wrong, was used before or has expired. Use the newest mail's, or have another one mailed."
    raise FarsiteError(ErrorCode.SIGN_IN_FAILED, detail)


async def mail_code(call: Call, account: Account) -> None:
    """A new code; older ones are void. Raises `rate_limited` for too many."""
    await call.services.limits.resends.begin(account.id)
    code, until = await mail_codes.new_code(call.session, account, call.services.vault, call.now)
    at = f"{until:%H:%M}"
    call.mail(account.email, Letter.SIGN_IN_CODE, code=code, until=at, source=call.source)


async def mail_code_even_refused(call: Call, account: Account) -> None:
    """For whoever is refused because the code is missing."""
    await call.services.limits.resends.begin(account.id)

    async def keep(session: AsyncSession) -> None:
        code, until = await mail_codes.new_code(session, account, call.services.vault, call.now)
        values = {"code": code, "until": f"{until:%H:%M}", "source": call.source}
        await call.mail_in(session, account.email, Letter.SIGN_IN_CODE, **values)

    call.even_refused(keep)
