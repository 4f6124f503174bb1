"""Who may use which route: decided here, from the route table's declared right, before the handler runs."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from farsite_cloud.accounts.models import Account, AccountKind
from farsite_cloud.accounts.staying import Stay
from farsite_cloud.accounts.tokens import Caller, digest_of, find_caller, keep_token
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.audit.log import Act
from farsite_cloud.licences.gate import check_licence
from farsite_cloud.organizations.entrance import Entrance, enter
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import lock, stay
from farsite_cloud.organizations.suspension import check_active, is_free
from farsite_signaling.rest import INTERACTIVE, PUBLIC, Api, Need
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right, Role, rights_of


async def authorize(request: web.Request, need: Need) -> None:
    if need is PUBLIC:
        return
    call = call_of(request)
    call.signed_in(await _caller(call))
    if need is INTERACTIVE and not call.reads:
        await _alone(call)
    call.services.used.note(call.caller.token_id, call.now, call.source)
    if need is INTERACTIVE and call.caller.scopes is not None:
        raise FarsiteError(ErrorCode.FORBIDDEN, "Access tokens may not do this: sign in with your password.")
    if need is INTERACTIVE and call.caller.organization_id is not None:
        # An organization's identity provider speaks for that organization, and not for its people's accounts.
        detail = "You signed in by your organization's identity provider. Sign in with a password or passkey for this."
        raise FarsiteError(ErrorCode.FORBIDDEN, detail)
    if isinstance(need, Right):
        await _enter(call, request.match_info["org"])
        target = f"{request.method} {request.path}"
        _check_right(call, need, target)
        _check_active(call, target, request.method, request.path)
        await _check_licence(call, need, request.method, request.path)


def may(request: web.Request, need: Need) -> bool:
    """Whether who was let into an organization may use a route of it that needs this."""
    return isinstance(need, Right) and need in call_of(request).rights


async def stand_fast(request: web.Request, need: Right) -> None:
    """For what outlives the request (sessions, certificates, codes), before anything else is read for it.

    What the caller may do is read once more, under locks that whoever takes it away needs as well: they see what was
    granted and end it, or it is refused here. SQLite has one writer at a time and needs no such thing.
    """
    call = call_of(request)
    if call.services.database.kind == "sqlite":
        return
    # In the order in which the others take them.
    await stay(call.session, call.organization.id)
    await keep_token(call.session, call.caller.token_id)
    call.session.expire_all()
    await authorize(request, need)


async def stand_first(request: web.Request, need: Right) -> Organization:
    """For what changes who may do what, and where: one such change of an organization at a time, and whoever waited for
    another one is asked again whether they still may."""
    call = call_of(request)
    await lock(call.session, call.organization.id)
    if call.services.database.kind != "sqlite":
        await keep_token(call.session, call.caller.token_id)
        call.session.expire_all()
        await authorize(request, need)
    return call.organization


async def _alone(call: Call) -> None:
    """One change of an account by its owner at a time. What is made with a sign-in (access tokens, passwords, factors)
    outlives it: whoever waited while everybody was signed out is not signed in any more. SQLite: as above."""
    if call.services.database.kind == "sqlite":
        return
    await call.session.get(Account, call.caller.account_id, with_for_update={"key_share": True})
    call.session.expire_all()
    call.signed_in(await _caller(call))


def _check_right(call: Call, right: Right, target: str) -> None:
    """Raises `forbidden` naming the right, and audits the refusal."""
    if right in call.rights:
        return
    error = missing(call, right)
    act = Act("authorization", call.actor, call.source, [call.organization.id], target)
    call.refused(act, error)
    raise error


def _check_active(call: Call, target: str, method: str, path: str) -> None:
    if call.reads or is_free(method, path):
        return
    try:
        check_active(call.organization)
    except FarsiteError as error:
        call.refused(Act("authorization", call.actor, call.source, [call.organization.id], target), error)
        raise


async def _check_licence(call: Call, right: Right, method: str, path: str) -> None:
    try:
        await check_licence(call, right, method, path)
    except FarsiteError as error:
        act = Act("authorization", call.actor, call.source, [call.organization.id], f"{method} {path}")
        call.refused(act, error)
        raise


def missing(call: Call, right: Right) -> FarsiteError:
    if right not in rights_of(call.role):
        return forbidden(right, call.role)
    if right not in call.entrance.rights:
        detail = f"Support access does not include the right {right}."
    elif call.caller.folders is not None and right in (call.caller.scopes or ()):
        detail = f"An access token for chosen folders may not use the right {right}."
    else:
        detail = f"This access token's scopes do not include the right {right}."
    return FarsiteError(ErrorCode.FORBIDDEN, detail, right=right)


def demand(call: Call, right: Right) -> None:
    """A right beyond the route's own, for what the body asks. Raises `forbidden`; audited by the act around it."""
    if right not in call.rights:
        raise missing(call, right)


def demand_all(call: Call, rights: Iterable[Right]) -> None:
    """Nobody gives what they do not have, neither by their role nor by their token. Raises `forbidden`."""
    for right in sorted(rights):
        demand(call, right)


def forbidden(right: Right, role: Role) -> FarsiteError:
    detail = f"Your role in this organization ({role}) does not include the right {right}."
    return FarsiteError(ErrorCode.FORBIDDEN, detail, right=right)


def check_table(api: Api) -> None:
    """Keeps a server from starting whose routes ask for a right without saying in which organization."""
    for route in api.routes:
        if isinstance(route.need, Right) and "{org}" not in route.path:
            raise TypeError(f"{route.method} {route.path} needs {route.need} but names no organization")


async def _caller(call: Call) -> Caller:
    if call.bearer is None:
        raise FarsiteError(ErrorCode.UNAUTHENTICATED, "Sign in first: this needs a bearer token.")
    stay = Stay.of(call.services.settings)
    if not call.reads:
        return await find_caller(call.session, call.bearer, call.now, stay)
    digest, access = digest_of(call.bearer), call.services.access
    call.known = access.look(digest, call.now)
    if call.known is None:
        keep = access.keeper(digest)
        call.known = keep(await find_caller(call.session, call.bearer, call.now, stay))
    return call.known.caller


async def _enter(call: Call, organization_id: str) -> None:
    entrance = await _entrance(call, organization_id)
    _check_mfa(call, entrance.organization)
    _check_provider(call, entrance)
    call.entered(entrance)


async def _entrance(call: Call, organization_id: str) -> Entrance:
    if call.known is None:
        return await enter(call.session, organization_id, call.caller, call.now)
    found = call.known.entrances.get(organization_id)
    if found is None or (found.until is not None and found.until <= call.now):
        found = await enter(call.session, organization_id, call.caller, call.now)
        # Others will use it when this unit of work is over.
        call.session.expunge(found.organization)
        call.known.entrances[organization_id] = found
    return found


def _check_provider(call: Call, entrance: Entrance) -> None:
    """Owners stay free: a provider that is down must not lock everybody out. So do programs and support."""
    caller = call.caller
    exempt = caller.kind is AccountKind.SERVICE or entrance.role is Role.OWNER or entrance.until is not None
    vouched = caller.scopes is None and caller.organization_id == entrance.organization.id
    if entrance.organization.provider_required and not exempt and not vouched:
        detail = (
            f"The organization {entrance.organization.name!r} asks to sign in by its identity provider: "
            f"farsite login --sso {entrance.organization.id}"
        )
        raise FarsiteError(ErrorCode.PROVIDER_REQUIRED, detail)


def _check_mfa(call: Call, organization: Organization) -> None:
    """Programs have no second factor: their tokens are made by people who have one."""
    if call.caller.kind is AccountKind.SERVICE:
        return
    if organization.require_mfa and not call.caller.mfa:
        detail = (
            f"The organization {organization.name!r} asks for a second factor. Turn it on (farsite account mfa on), "
            "or sign in again with it."
        )
        raise FarsiteError(ErrorCode.MFA_SETUP_REQUIRED, detail)
