"""The cloud's REST API about oneself, for `CloudClient`: name, address, invitations declined, organizations left."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import SecretStr

from farsite_client.calls import CloudCalls
from farsite_client.factors import Proof
from farsite_signaling.wire.account_api import AccountChange, AddressChange, AddressConfirmation
from farsite_signaling.wire.cloud_api import Account


class PersonalCalls(CloudCalls):
    async def change_account(self, name: str) -> Account:
        return await self._ask("PATCH", "/me", Account, AccountChange(name=name))

    async def begin_address_change(self, email: str, proof: Proof) -> None:
        """A code is mailed to the new address, for `change_address`. Raises `sign_in_failed`, `mfa_required`."""
        body = AddressChange.model_validate(proof.fields() | {"email": email})
        await self._send("POST", "/me/email", body)

    async def change_address(self, code: str) -> Account:
        """Raises `code_invalid`, and `conflict` when the address has an account of its own."""
        body = AddressConfirmation(code=SecretStr(code))
        return await self._ask("POST", "/me/email/confirm", Account, body)

    async def decline_invitation(self, invitation: str) -> None:
        await self._send("POST", f"/me/invitations/{quote(invitation, safe='')}/decline")

    async def give_up_support(self, organization: str) -> None:
        """One's own support access ends now, with its sessions. Raises `not_found` without one."""
        await self._send("DELETE", f"/me/support/{quote(organization, safe='')}")

    async def leave_organization(self, organization: str) -> None:
        """Sessions and certificates there end. Raises `conflict` for its only owner."""
        await self._send("DELETE", f"/me/organizations/{quote(organization, safe='')}")
