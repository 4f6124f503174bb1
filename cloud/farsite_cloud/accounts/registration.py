"""Making an account, and getting back into one: by codes mailed to the address, so that nobody learns who has one."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts import service
from farsite_cloud.accounts.endings import close_tunnels, organizations_of
from farsite_cloud.accounts.mailed import Purpose, address_of_code, drop_codes, issue_code, use_code
from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.tokens import revoke_all
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.attempts import guessing
from farsite_cloud.invitations.service import any_invitation
from farsite_cloud.mail.letters import Letter
from farsite_cloud.support.service import supported_by
from farsite_signaling.rest import PUBLIC, Api
from farsite_signaling.wire import cloud_api, people_api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

api = Api()
SIGNED_OUT = "Whoever was signed in is signed out, everywhere."


@api.route("POST", "/auth/sign-up", need=PUBLIC, request=people_api.SignUpRequest)
async def sign_up(request: web.Request, body: people_api.SignUpRequest) -> None:
    """Ask for an account: a code is mailed to the address. The answer is the same whether it has one."""
    call = call_of(request)
    await limit_mails(call, body.email)
    known = await service.find_account(call.session, body.email) is not None
    expected = await _expected(call, body.email)
    letter = Letter.ALREADY_KNOWN if known else Letter.CONFIRM
    wanted = known or expected or call.services.settings.sign_up == "open"
    await _mail_code(call, Purpose.CONFIRM, body.email, letter, really=wanted)


async def _expected(call: Call, email: str) -> bool:
    """Whether some organization invited this address, or lets it in as support."""
    invited = await any_invitation(call.session, email, call.now)
    return invited or bool(await supported_by(call.session, email, call.now))


@api.route(
    "POST",
    "/auth/confirm",
    need=PUBLIC,
    request=people_api.ConfirmRequest,
    response=cloud_api.Account,
    status=201,
    errors=(ErrorCode.CODE_INVALID,),
)
async def confirm(request: web.Request, body: people_api.ConfirmRequest) -> cloud_api.Account:
    """Use the mailed code: the account is made, with the password chosen now."""
    call = call_of(request)
    code = body.code.get_secret_value()
    hashed = await hash_for_code(call, Purpose.CONFIRM, code, body.password.get_secret_value())
    email = await use_code(call.session, Purpose.CONFIRM, code, call.now)
    return await new_account(call, email, hashed, body.name)


async def new_account(call: Call, email: str, hashed: str, name: str) -> cloud_api.Account:
    """Of an address that was proven. Raises `conflict` when it got one meanwhile."""
    if await service.find_account(call.session, email) is not None:
        raise FarsiteError(ErrorCode.CONFLICT, "This address has an account already: sign in.")
    account = service.create_account(call.session, email, hashed, call.now, name)
    await drop_codes(call.session, email)
    return cloud_api.Account(id=account.id, email=account.email, name=account.name)


@api.route("POST", "/auth/forgot", need=PUBLIC, request=people_api.SignUpRequest)
async def forgot(request: web.Request, body: people_api.SignUpRequest) -> None:
    """Ask for a new password: a code is mailed to the address if it has an account. The answer is the same."""
    call = call_of(request)
    await limit_mails(call, body.email)
    known = await service.find_account(call.session, body.email) is not None
    await _mail_code(call, Purpose.RESET, body.email, Letter.RESET, really=known)


@api.route(
    "POST", "/auth/reset", need=PUBLIC, request=people_api.ResetRequest, errors=(ErrorCode.CODE_INVALID,)
)
async def reset(request: web.Request, body: people_api.ResetRequest) -> None:
    """Use the mailed code: a new password. Sign-ins and access tokens end; a second factor stays."""
    call = call_of(request)
    code = body.code.get_secret_value()
    hashed = await hash_for_code(call, Purpose.RESET, code, body.password.get_secret_value())
    email = await use_code(call.session, Purpose.RESET, code, call.now)
    account = await service.find_account(call.session, email)
    assert account is not None, "accounts are never removed"
    organizations = await organizations_of(call, account.id)
    with call.act("account.password_reset", actor=email, organizations=organizations):
        account.password_hash = hashed
        ended = await revoke_all(call.session, account.id, call.now)
        await close_tunnels(call, account.id, ended)
        await drop_codes(call.session, email)
    await call.services.limits.everywhere.succeeded(email)
    tell_changed(call, account, SIGNED_OUT)


def tell_changed(call: Call, account: Account, effect: str) -> None:
    at = f"{call.now:%Y-%m-%d %H:%M}"
    call.mail(account.email, Letter.PASSWORD_CHANGED, at=at, source=call.source, effect=effect)


async def limit_mails(call: Call, email: str) -> None:
    """Counted before anything is looked up: the limit tells nothing either. Raises `rate_limited`."""
    await call.services.limits.mails_from.begin(call.source)
    await call.services.limits.mails_to.begin(email)


async def hash_for_code(call: Call, purpose: Purpose, code: str, password: str) -> str:
    """Checked first and hashed outside the transaction: hashing is slow, and for those with a code only."""
    async with (
        guessing(call.services.limits.codes, call.source),
        call.services.database.reading() as session,
    ):
        await address_of_code(session, purpose, code, call.now)
    return await call.services.passwords.hash(password)


async def _mail_code(call: Call, purpose: Purpose, email: str, letter: Letter, *, really: bool) -> None:
    """The same work in every case: an answer's time must not tell either. A code that nobody is told opens nothing."""
    code, until = await issue_code(call.session, purpose, email, call.now)
    call.mail(email, letter, really=really, code=code, until=f"{until:%Y-%m-%d %H:%M}")
