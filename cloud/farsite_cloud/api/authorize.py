"""Who may use which route: decided here, from the route table's declared right, before the handler runs."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts.tokens import Caller, find_caller
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.audit.log import Act
from farsite_cloud.organizations.models import Organization
from farsite_cloud.organizations.service import membership, reach_of
from farsite_signaling.rest import INTERACTIVE, PUBLIC, Api, Need
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right, Role, rights_of


async def authorize(request: web.Request, need: Need) -> None:
    if need is PUBLIC:
        return
    call = call_of(request)
    call.signed_in(await _caller(call))
    if need is INTERACTIVE and call.caller.scopes is not None:
        raise FarsiteError(ErrorCode.FORBIDDEN, "Access tokens may not do this: sign in with your password.")
    if isinstance(need, Right):
        await _enter(call, request.match_info["org"])
        _check_right(call, need, f"{request.method} {request.path}")


def _check_right(call: Call, right: Right, target: str) -> None:
    """Raises `forbidden` naming the right, and audits the refusal."""
    if right in call.rights:
        return
    error = missing(call, right)
    act = Act("authorization", call.caller.email, call.source, [call.organization.id], target)
    call.refused(act, error)
    raise error


def missing(call: Call, right: Right) -> FarsiteError:
    if right not in rights_of(call.role):
        return forbidden(right, call.role)
    detail = f"This access token's scopes do not include the right {right}."
    return FarsiteError(ErrorCode.FORBIDDEN, detail, right=right)


def demand(call: Call, right: Right) -> None:
    """A right beyond the route's own, for what the body asks. Raises `forbidden`; audited by the act around it."""
    if right not in call.rights:
        raise missing(call, right)


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
    return await find_caller(call.session, call.bearer, call.now)


async def _enter(call: Call, organization_id: str) -> None:
    """A foreign organization looks like one that does not exist."""
    found = await membership(call.session, organization_id, call.caller.account_id)
    if found is None:
        raise FarsiteError(ErrorCode.NOT_FOUND, f"There is no organization {organization_id[:64]!r}.")
    organization, member = found
    _check_mfa(call, organization)
    call.entered(organization, member, await reach_of(call.session, member))


def _check_mfa(call: Call, organization: Organization) -> None:
    if organization.require_mfa and not call.caller.mfa:
        detail = (
            f"The organization {organization.name!r} asks for a second factor. Turn it on (farsite account mfa on), "
            "or sign in again with it."
        )
        raise FarsiteError(ErrorCode.MFA_SETUP_REQUIRED, detail)
