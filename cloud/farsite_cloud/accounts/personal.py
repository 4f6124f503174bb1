"""One's own name and address. A new address counts once a code that was mailed to it is given back."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from farsite_cloud.accounts.changing import begin_change
from farsite_cloud.accounts.cutting import Cut, cut_off
from farsite_cloud.accounts.endings import organizations_of
from farsite_cloud.accounts.mailed import Purpose, address_of_code, drop_codes, issue_code, use_code
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.own import own_account
from farsite_cloud.accounts.registration import limit_mails
from farsite_cloud.accounts.service import find_account
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.attempts import guessing
from farsite_cloud.database import Scope
from farsite_cloud.mail.letters import Letter
from farsite_cloud.support.service import supported_by
from farsite_signaling.rest import INTERACTIVE, Answer, Api
from farsite_signaling.wire import account_api as wire
from farsite_signaling.wire import cloud_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()
_MOVED = "The account this support access was for has another address now."


@api.route(
    "PATCH",
    "/me",
    need=INTERACTIVE,
    request=wire.AccountChange,
    response=cloud_api.Account,
    headers=(IF_MATCH,),
)
async def change_account(request: web.Request, body: wire.AccountChange) -> Answer:
    """Another name for oneself."""
    call = call_of(request)
    account = await own_account(call)
    organizations = await organizations_of(call, account.id)
    with call.act("account.renamed", account.email, organizations=organizations) as act:
        await check_unchanged(request, account)
        act.details |= {"from": account.name, "to": body.name}
        account.name = body.name
        account.revision += 1
    return Answer(_answer(account), etag(account.revision))


@api.route("POST", "/me/email", need=INTERACTIVE, request=wire.AddressChange)
async def begin_address_change(request: web.Request, body: wire.AddressChange) -> None:
    """Ask for another address: a code is mailed to it. The answer is the same whether it has an account."""
    call = call_of(request)
    account = await own_account(call)
    if body.email == account.email:
        raise FarsiteError(ErrorCode.CONFLICT, "This is your address already.")
    with call.act("account.email_asked", organizations=await organizations_of(call, account.id)):
        await begin_change(call, account, body)
        await limit_mails(call, body.email)
    taken = await find_account(call.session, body.email) is not None
    code, until = await issue_code(call.session, Purpose.ADDRESS, body.email, call.now, account_id=account.id)
    letter = Letter.ALREADY_KNOWN if taken else Letter.ADDRESS
    call.mail(body.email, letter, code=code, until=f"{until:%Y-%m-%d %H:%M}", old=account.email)


@api.route(
    "POST",
    "/me/email/confirm",
    need=INTERACTIVE,
    request=wire.AddressConfirmation,
    response=cloud_api.Account,
    errors=(ErrorCode.CODE_INVALID,),
)
async def change_address(request: web.Request, body: wire.AddressConfirmation) -> cloud_api.Account:
    """Use the mailed code: the account has the new address. The old one is told, and opens nothing any more."""
    call = call_of(request)
    code = body.code.get_secret_value()
    await _check_code(call, code)
    account = await own_account(call)
    before, organizations = account.email, await organizations_of(call, account.id)
    with call.act("account.email_changed", before, organizations=organizations) as act:
        email = await use_code(call.session, Purpose.ADDRESS, code, call.now, account_id=account.id)
        act.details |= {"from": before, "to": email}
        await _move(call, account, email)
    at = f"{call.now:%Y-%m-%d %H:%M}"
    call.mail(before, Letter.ADDRESS_CHANGED, new=email, at=at, source=call.source)
    return _answer(account)


async def _check_code(call: Call, code: str) -> None:
    """Counted when wrong. A code is for the account that asked for it."""
    async with (
        guessing(call.services.limits.codes, call.source),
        call.services.database.reading() as session,
    ):
        await address_of_code(session, Purpose.ADDRESS, code, call.now, account_id=call.caller.account_id)


async def _move(call: Call, account: Account, email: str) -> None:
    """Raises `conflict` when the address got an account meanwhile."""
    if await find_account(call.session, email) is not None:
        raise FarsiteError(ErrorCode.CONFLICT, "This address has an account of its own.")
    before = account.email
    for cut in await _end_support(call, account, before):
        call.later(partial(cut.tell, call.services.peers))
    account.email = email
    account.revision += 1
    await call.session.flush()
    await drop_codes(call.session, before)
    await drop_codes(call.session, email)


async def _end_support(call: Call, account: Account, email: str) -> list[Cut]:
    """Support access is given to an address: whoever has it no longer is cut off."""
    members = set(await organizations_of(call, account.id))
    lost = [one for one in await supported_by(call.session, email, call.now) if one not in members]
    return [await cut_off(Scope(call.session, one), account.id, _MOVED, call.now) for one in lost]


def _answer(account: Account) -> cloud_api.Account:
    return cloud_api.Account(id=account.id, email=account.email, name=account.name)
