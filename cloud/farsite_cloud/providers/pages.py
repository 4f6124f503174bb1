"""Signing a browser in by an organization's provider: sent there, and welcomed back."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import web

from farsite_cloud.accounts.guessing import place
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.browser.pages import ask, page
from farsite_cloud.browser.routes import PAGE
from farsite_cloud.browser.sessions import Visit
from farsite_cloud.database import Scope
from farsite_cloud.providers import service
from farsite_cloud.providers.directory import clean_word, refused
from farsite_cloud.providers.entering import admit
from farsite_cloud.providers.flow import Client, Question, authorization_url, exchange
from farsite_cloud.providers.service import CALLBACK, LIFETIME, Providers
from farsite_signaling.rest import PUBLIC, Api
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

pages = Api(prefix="")
SSO = f"{PAGE}/sso"


@pages.route("GET", SSO, need=PUBLIC)
async def begin(request: web.Request) -> web.Response:
    """Where the organization's provider is. The person goes on by themselves, so that they see where."""
    call = call_of(request)
    await call.services.limits.providers.begin(place(call.source))
    async with call.services.database.reading() as session:
        organization_id = await service.organization_called(session, request.query.get("organization", ""))
        client = await _client(call, Scope(session, organization_id))
    discovery = await call.services.providers.discover(client.issuer)
    question = Question.new(request.query.get("user_code", "")[:50])
    scope = Scope(call.session, organization_id)
    await service.sweep(scope, call.now)
    state, cookie = service.begin(scope, question, call.services.vault, call.now)
    target = authorization_url(discovery, client, question, state)
    response = page("provider", target=target, host=urlsplit(target).netloc)
    _set_cookie(response, call, cookie)
    return response


async def _client(call: Call, scope: Scope) -> Client:
    providers = Providers(scope)
    return providers.client(await providers.get(), call.services.vault, call.services.urls)


def _cookie(call: Call) -> str:
    return "__Host-farsite-sso" if _secure(call) else "farsite-sso"


def _secure(call: Call) -> bool:
    return call.services.urls.api.startswith("https:")


def _set_cookie(response: web.Response, call: Call, cookie: str) -> None:
    """Lax: the provider sends the browser back from another site."""
    seconds = int(LIFETIME.total_seconds())
    response.set_cookie(
        _cookie(call), cookie, max_age=seconds, path="/", secure=_secure(call), httponly=True, samesite="Lax"
    )


@pages.route("GET", CALLBACK, need=PUBLIC)
async def come_back(request: web.Request) -> web.Response:
    """Who the provider says it is, checked; then what the waiting device asks for."""
    call = call_of(request)
    cookie = request.cookies.get(_cookie(call), "")
    # A unit of work of its own: a state counts once, whatever becomes of it.
    async with call.services.database.writing() as session:
        returned = await service.come_back(
            session, request.query.get("state", ""), cookie, call.services.vault, call.now
        )
        client = await _client(call, returned.scope)
    _check_answer(request, client)
    code = request.query.get("code", "")[:4096]
    services = call.services
    organization_id = returned.scope.organization_id
    with call.act("account.provider_sign_in", organizations=[organization_id]) as act:
        act.details["issuer"] = client.issuer
        await _check_issuer_is_named(request, call, client)
        claims = await exchange(services.outbound, services.providers, client, returned.question, code)
        scope = Scope(call.session, organization_id)
        account, mfa = await admit(call, scope, client, claims, act)
    visit = Visit(request, call)
    signed_in = visit.sign_in(account, mfa=mfa, organization_id=scope.organization_id)
    await call.session.flush()
    response = await ask(call, visit, signed_in, returned.question.user_code)
    visit.keep(response)
    response.del_cookie(_cookie(call), path="/", secure=_secure(call), httponly=True, samesite="Lax")
    return response


async def _check_issuer_is_named(request: web.Request, call: Call, client: Client) -> None:
    """By a provider that says it always does (RFC 9207, 2.4)."""
    discovery = await call.services.providers.discover(client.issuer)
    if discovery.authorization_response_iss_parameter_supported and "iss" not in request.query:
        raise refused("its answer does not say whose it is (iss)")


def _check_answer(request: web.Request, client: Client) -> None:
    """Raises `access_denied`, `provider_refused`."""
    if error := request.query.get("error"):
        detail = f"Your identity provider did not let you in ({clean_word(error)})."
        raise FarsiteError(ErrorCode.ACCESS_DENIED, detail)
    issuer = request.query.get("iss")
    if issuer is not None and not hmac.compare_digest(issuer.encode(), client.issuer.encode()):
        raise refused("another one answered (iss)")
    if not request.query.get("code"):
        raise refused("it sent no code")
