"""The cloud's REST API about people, for `CloudClient`: accounts, organizations, folders, users, invitations, tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from pydantic import SecretStr

from farsite_client.calls import CloudCalls, organization_path
from farsite_signaling.wire.cloud_api import (
    Account,
    Folder,
    FolderChange,
    FolderRequest,
    Organization,
    OrganizationChange,
    OrganizationRequest,
)
from farsite_signaling.wire.people_api import (
    ConfirmRequest,
    Invitation,
    InvitationList,
    InvitationRequest,
    Invitations,
    JoinRequest,
    Member,
    MemberChange,
    MemberList,
    NewToken,
    OwnInvitation,
    OwnInvitationList,
    PasswordChange,
    PersonalToken,
    PersonalTokenList,
    ResetRequest,
    SignedIn,
    SignedInList,
    SignUpRequest,
    TokenRequest,
    TokenRotation,
    Transfer,
)
from farsite_signaling.wire.rights import Right, Role


class PeopleCalls(CloudCalls):
    """Organizations, users and others are named by their ids."""

    # an account, made and got back into

    async def sign_up(self, email: str) -> None:
        """A code is mailed to the address, for `confirm`."""
        await self._send("POST", "/auth/sign-up", SignUpRequest(email=email))

    async def confirm(self, code: str, password: str, name: str) -> Account:
        """Raises `code_invalid`."""
        body = ConfirmRequest(code=SecretStr(code), password=SecretStr(password), name=name)
        return await self._ask("POST", "/auth/confirm", Account, body)

    async def join(self, code: str, password: str, name: str) -> Account:
        """An account with the code of an invitation, accepted by it. Raises `code_invalid`, `conflict`."""
        body = JoinRequest(code=SecretStr(code), password=SecretStr(password), name=name)
        return await self._ask("POST", "/auth/join", Account, body)

    async def forgot_password(self, email: str) -> None:
        """A code is mailed to the address if it has an account, for `reset_password`."""
        await self._send("POST", "/auth/forgot", SignUpRequest(email=email))

    async def reset_password(self, code: str, password: str) -> None:
        """Raises `code_invalid`."""
        body = ResetRequest(code=SecretStr(code), password=SecretStr(password))
        await self._send("POST", "/auth/reset", body)

    async def change_password(self, current: str, password: str) -> None:
        """Other sign-ins and access tokens end. Raises `sign_in_failed`."""
        body = PasswordChange(current_password=SecretStr(current), password=SecretStr(password))
        await self._send("POST", "/me/password", body)

    async def sign_ins(self) -> list[SignedIn]:
        return (await self._ask("GET", "/me/sessions", SignedInList)).sessions

    async def end_sign_in(self, sign_in: str) -> None:
        """Its tunnels close."""
        await self._send("DELETE", f"/me/sessions/{_quoted(sign_in)}")

    async def end_other_sign_ins(self) -> None:
        await self._send("DELETE", "/me/sessions")

    # its access tokens

    async def tokens(self) -> list[PersonalToken]:
        return (await self._ask("GET", "/me/tokens", PersonalTokenList)).tokens

    async def create_token(
        self,
        name: str,
        scopes: Sequence[Right],
        *,
        days: int = 90,
        organization: str | None = None,
        folders: list[str] | None = None,
    ) -> NewToken:
        """Its `token` is shown once. It may be for one organization only, and for folders of it."""
        body = TokenRequest(
            name=name,
            scopes=list(scopes),
            expires_in_days=days,
            organization_id=organization,
            folder_ids=folders,
        )
        return await self._ask("POST", "/me/tokens", NewToken, body)

    async def rotate_token(self, token: str, *, days: int = 90, overlap_hours: int = 0) -> NewToken:
        """A new secret on the same terms; the old one works for the overlap."""
        body = TokenRotation(expires_in_days=days, overlap_hours=overlap_hours)
        return await self._ask("POST", f"/me/tokens/{_quoted(token)}/rotation", NewToken, body)

    async def revoke_token(self, token: str) -> None:
        await self._send("DELETE", f"/me/tokens/{_quoted(token)}")

    # organizations and folders

    async def create_organization(self, name: str) -> Organization:
        """The account becomes its owner."""
        return await self._ask("POST", "/organizations", Organization, OrganizationRequest(name=name))

    async def change_organization(self, organization: str, change: OrganizationChange) -> Organization:
        return await self._ask("PATCH", organization_path(organization), Organization, change)

    async def transfer(self, organization: str, account: str) -> Member:
        """That member becomes owner, this account admin."""
        path = f"{organization_path(organization)}/transfer"
        return await self._ask("POST", path, Member, Transfer(account_id=account))

    async def create_folder(self, organization: str, name: str, parent: str | None = None) -> Folder:
        path = f"{organization_path(organization)}/folders"
        return await self._ask("POST", path, Folder, FolderRequest(name=name, parent_id=parent))

    async def change_folder(self, organization: str, folder: str, change: FolderChange) -> Folder:
        """`FolderChange(parent_id=None)` moves it to the top."""
        return await self._ask("PATCH", _folder(organization, folder), Folder, change)

    async def remove_folder(self, organization: str, folder: str) -> None:
        """Raises `conflict` unless it is empty."""
        await self._send("DELETE", _folder(organization, folder))

    # users and invitations

    def users(
        self, organization: str, *, text: str | None = None, role: Role | None = None, page_size: int = 100
    ) -> AsyncIterator[Member]:
        """`text` is in the address or the name."""
        path = f"{organization_path(organization)}/users"
        return self._each(path, MemberList, lambda page: page.users, page_size, q=text, role=role)

    async def user(self, organization: str, account: str) -> Member:
        return await self._ask("GET", _user(organization, account), Member)

    async def change_user(self, organization: str, account: str, change: MemberChange) -> Member:
        """At once: sessions that the new role or folders would not allow end."""
        return await self._ask("PATCH", _user(organization, account), Member, change)

    async def remove_user(self, organization: str, account: str) -> None:
        await self._send("DELETE", _user(organization, account))

    def invitations(self, organization: str, *, page_size: int = 100) -> AsyncIterator[Invitation]:
        path = f"{organization_path(organization)}/invitations"
        return self._each(path, InvitationList, lambda page: page.invitations, page_size)

    async def invite(self, organization: str, request: InvitationRequest) -> Invitations:
        path = f"{organization_path(organization)}/invitations"
        return await self._ask("POST", path, Invitations, request)

    async def invitation(self, organization: str, invitation: str) -> Invitation:
        return await self._ask("GET", _invitation(organization, invitation), Invitation)

    async def resend_invitation(self, organization: str, invitation: str) -> Invitation:
        return await self._ask("POST", f"{_invitation(organization, invitation)}/resend", Invitation)

    async def revoke_invitation(self, organization: str, invitation: str) -> None:
        await self._send("DELETE", _invitation(organization, invitation))

    async def own_invitations(self) -> list[OwnInvitation]:
        return (await self._ask("GET", "/me/invitations", OwnInvitationList)).invitations

    async def accept_invitation(self, invitation: str) -> Organization:
        return await self._ask("POST", f"/me/invitations/{_quoted(invitation)}/accept", Organization)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _folder(organization: str, folder: str) -> str:
    return f"{organization_path(organization)}/folders/{_quoted(folder)}"


def _invitation(organization: str, invitation: str) -> str:
    return f"{organization_path(organization)}/invitations/{_quoted(invitation)}"


def _user(organization: str, account: str) -> str:
    return f"{organization_path(organization)}/users/{_quoted(account)}"
