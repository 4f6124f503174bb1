"""Second factors turned on and off: proven first, audited, told by mail, and other sign-ins ended when it counts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Self

from farsite_cloud.accounts import mfa, tokens
from farsite_cloud.accounts.endings import close_tunnels, organizations_of
from farsite_cloud.accounts.factors import Factors, factors_of
from farsite_cloud.accounts.guessing import signed_in_guess
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.own import check_password
from farsite_cloud.accounts.proving import prove
from farsite_cloud.api.call import Call
from farsite_cloud.audit.log import Act
from farsite_cloud.mail.letters import Letter
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.factor_api import FactorProof


async def begin_change(call: Call, account: Account, proof: FactorProof) -> Factors:
    """The password, and a second factor if one is on. Raises `sign_in_failed`, `mfa_required`, `rate_limited`."""
    await check_password(call, account, proof.password.get_secret_value())
    factors = await factors_of(call.session, account)
    if not factors.chosen:
        # Nothing but what an organization asks for: choosing a factor is how one complies.
        return factors
    guess = signed_in_guess(call)
    await guess.begin()
    await prove(call, account, factors, proof.code, proof.passkey)
    await guess.right()
    return factors


class FactorChange:
    """`async with` audits; `turned_on` and `turned_off` draw the consequences. Other accounts' rows are never touched."""

    def __init__(self, call: Call, account: Account, action: str, target: str = "") -> None:
        self._call = call
        self._account = account
        self._action = action
        self._target = target
        self._audit: AbstractContextManager[Act] | None = None
        self._before: Factors | None = None
        self.details: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        # Whoever signs in right now has done so before, and is seen, or sees what is changed here.
        await self._call.session.refresh(self._account, with_for_update={"key_share": True})
        self._before = await factors_of(self._call.session, self._account)
        organizations = await organizations_of(self._call, self._account.id)
        self._audit = self._call.act(self._action, self._target, organizations=organizations)
        self.details = self._audit.__enter__().details
        return self

    async def __aexit__(self, *failure: Any) -> None:
        assert self._audit is not None, "entered"
        self._audit.__exit__(*failure)

    async def turned_on(self, what: str) -> list[str]:
        """The first one ends other sign-ins, which had proven less, and gives recovery codes."""
        assert self._before is not None, "entered"
        call, account = self._call, self._account
        self.tell(what)
        if self._before.chosen:
            return []
        await tokens.mark_mfa(call.session, call.caller.token_id)
        ended = await tokens.revoke_all(call.session, account.id, call.now, but=call.caller.token_id)
        await close_tunnels(call, account.id, ended)
        return await mfa.new_recovery_codes(call.session, account)

    async def turned_off(self, what: str) -> None:
        """Raises `conflict` for the last one while an organization asks for one."""
        call, account = self._call, self._account
        await call.session.flush()
        left = await factors_of(call.session, account)
        if left.required and not left.chosen:
            detail = "An organization of yours asks for a second factor: turn another one on first."
            raise FarsiteError(ErrorCode.CONFLICT, detail)
        if not left.chosen:
            await mfa.drop_recovery_codes(call.session, account.id)
            await tokens.clear_mfa(call.session, account.id)
        self.tell(what)

    def tell(self, what: str) -> None:
        at = f"{self._call.now:%Y-%m-%d %H:%M}"
        call, email = self._call, self._account.email
        call.mail(email, Letter.MFA_CHANGED, subject=what, what=what, at=at, source=call.source)
