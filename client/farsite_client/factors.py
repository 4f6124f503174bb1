"""The cloud's REST API about second factors, for `CloudClient`: the app, codes by mail, recovery codes, passkeys."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from pydantic import SecretStr

from farsite_client.calls import CloudCalls
from farsite_signaling.wire.cloud_api import SignInResult
from farsite_signaling.wire.factor_api import (
    AddedPasskey,
    FactorOff,
    FactorProof,
    MailCodeRequest,
    Mfa,
    NewPasskey,
    Passkey,
    PasskeyChange,
    PasskeyList,
    PasskeyRequest,
    PasskeySignIn,
)
from farsite_signaling.wire.passkeys import PasskeyAssertion, PasskeyAttestation, PasskeyOptions
from farsite_signaling.wire.people_api import MfaConfirm, MfaSecret, RecoveryCodes


@dataclass(frozen=True)
class Proof:
    """Password and, when a second factor is on, a code (app, mail, recovery) or a passkey's answer."""

    password: str
    code: str | None = None
    passkey: PasskeyAssertion | None = None

    def fields(self) -> dict[str, object]:
        code = None if self.code is None else SecretStr(self.code)
        return {"password": SecretStr(self.password), "code": code, "passkey": self.passkey}


class FactorCalls(CloudCalls):
    """Each change tells the account's owner by mail. Raise `sign_in_failed` and `mfa_required` for weak proofs."""

    token: str | None

    async def mfa(self) -> Mfa:
        return await self._ask("GET", "/me/mfa", Mfa)

    async def mail_code(self, email: str, password: str) -> None:
        """For `sign_in`, where `mfa_required` says that codes by mail are on. Raises `rate_limited`."""
        body = MailCodeRequest(email=email, password=SecretStr(password))
        await self._send("POST", "/auth/mail-code", body)

    async def mail_own_code(self) -> None:
        """For a `Proof`, when codes by mail are on."""
        await self._send("POST", "/me/mfa/mail-code")

    # codes

    async def start_mfa(self, proof: Proof) -> MfaSecret:
        """A secret for an authenticator app; nothing is on until `enable_mfa`."""
        body = FactorProof.model_validate(proof.fields())
        return await self._ask("POST", "/me/mfa/secret", MfaSecret, body)

    async def enable_mfa(self, code: str) -> list[str]:
        """The recovery codes, shown once; none when another second factor was on."""
        body = MfaConfirm(code=SecretStr(code))
        return (await self._ask("POST", "/me/mfa/enable", RecoveryCodes, body)).codes

    async def start_email_codes(self, proof: Proof) -> None:
        """One is mailed, for `enable_email_codes`."""
        await self._send("POST", "/me/mfa/email", FactorProof.model_validate(proof.fields()))

    async def enable_email_codes(self, code: str) -> list[str]:
        """The recovery codes, as `enable_mfa`."""
        body = MfaConfirm(code=SecretStr(code))
        return (await self._ask("POST", "/me/mfa/email/enable", RecoveryCodes, body)).codes

    async def disable_mfa(self, proof: Proof, factor: str | None = None) -> None:
        """`app`, `email`, or both. Raises `conflict` for the last one while an organization asks for one."""
        body = FactorOff.model_validate(proof.fields() | {"factor": factor})
        await self._send("POST", "/me/mfa/disable", body)

    async def new_recovery_codes(self, proof: Proof) -> list[str]:
        body = FactorProof.model_validate(proof.fields())
        return (await self._ask("POST", "/me/mfa/recovery-codes", RecoveryCodes, body)).codes

    # passkeys

    async def passkey_options(self) -> PasskeyOptions:
        """For `navigator.credentials.get`, to sign in or to prove a second factor."""
        return await self._ask("POST", "/auth/passkey/options", PasskeyOptions)

    async def sign_in_with_passkey(self, answer: PasskeyAssertion) -> SignInResult:
        """Also keeps the token for the calls that follow."""
        body = PasskeySignIn(credential=answer)
        result = await self._ask("POST", "/auth/passkey", SignInResult, body)
        self.token = result.token
        return result

    async def new_passkey_options(self, proof: Proof) -> PasskeyOptions:
        """For `navigator.credentials.create`."""
        body = PasskeyRequest.model_validate(proof.fields())
        return await self._ask("POST", "/me/passkeys/options", PasskeyOptions, body)

    async def add_passkey(self, name: str, made: PasskeyAttestation) -> AddedPasskey:
        return await self._ask("POST", "/me/passkeys", AddedPasskey, NewPasskey(name=name, credential=made))

    async def passkeys(self) -> list[Passkey]:
        return (await self._ask("GET", "/me/passkeys", PasskeyList)).passkeys

    async def rename_passkey(self, passkey: str, name: str) -> Passkey:
        return await self._ask("PATCH", _passkey(passkey), Passkey, PasskeyChange(name=name))

    async def remove_passkey(self, passkey: str, proof: Proof) -> None:
        """Raises `conflict` for the last second factor while an organization asks for one."""
        body = PasskeyRequest.model_validate(proof.fields())
        await self._send("POST", f"{_passkey(passkey)}/remove", body)


def _passkey(passkey: str) -> str:
    return f"/me/passkeys/{quote(passkey, safe='')}"
