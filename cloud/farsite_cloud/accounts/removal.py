"""Deleting one's own account: what is personal goes; what organizations did stays theirs."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from farsite_cloud.accounts.changing import begin_change
from farsite_cloud.accounts.cutting import Cut, cut_off
from farsite_cloud.accounts.mailed import drop_codes
from farsite_cloud.accounts.models import Account, AccountKind
from farsite_cloud.accounts.own import own_account
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.clients.models import ClientDevice
from farsite_cloud.database import Scope
from farsite_cloud.database.erase import forget_account
from farsite_cloud.database.scope import owners_of
from farsite_cloud.mail.letters import Letter
from farsite_cloud.organizations.service import memberships_of
from farsite_cloud.users.leaving import leave
from farsite_signaling.rest import INTERACTIVE, Api
from farsite_signaling.wire import lifecycle_api as wire

api = Api()
DELETED = "The account was deleted."


@api.route("POST", "/me/deletion", need=INTERACTIVE, request=wire.AccountDeletion)
async def delete_account(request: web.Request, body: wire.AccountDeletion) -> None:
    """Delete one's account, at once and for good. Not while an organization has no other owner."""
    call = call_of(request)
    account = await own_account(call)
    email, organizations = account.email, await memberships_of(call.session, account.id)
    with call.act("account.deleted", email, organizations=[one.id for one, _ in organizations]):
        await begin_change(call, account, body)
        for organization, _ in organizations:
            await leave(call.session, organization.id, account.id)
        cuts = await _cut_everywhere(call, account)
        await drop_codes(call.session, email)
        await forget_account(call.session, account.id)
        _make_anonymous(account)
    call.mail(email, Letter.ACCOUNT_DELETED, at=f"{call.now:%Y-%m-%d %H:%M}", source=call.source)
    for cut in cuts:
        call.later(partial(cut.tell, call.services.peers))


async def _cut_everywhere(call: Call, account: Account) -> list[Cut]:
    """Also where the account was a member once, or was let in as support."""
    cuts = []
    for organization_id in await owners_of(call.session, ClientDevice, ClientDevice.account_id == account.id):
        scope = Scope(call.session, organization_id)
        cuts.append(await cut_off(scope, account.id, DELETED, call.now))
        # What machines are called is personal.
        theirs = scope.update(ClientDevice).where(ClientDevice.account_id == account.id)
        await scope.change(theirs.values(name=""))
    return cuts


def _make_anonymous(account: Account) -> None:
    """The row stays for what refers to it; the address is free again."""
    account.kind = AccountKind.REMOVED
    account.email = f"removed:{account.id}"
    account.name = ""
    account.password_hash = "none"
    account.totp_secret = account.totp_since = account.email_codes_since = None
    account.revision += 1
