"""An organization's identity provider: set, shown, removed by its owners; domains proven by mail."""

from __future__ import annotations

from aiohttp import web

from farsite_cloud.accounts.tokens import drop_vouched, vouched_tokens
from farsite_cloud.accounts.tokens import revoke as revoke_token
from farsite_cloud.api.authorize import demand_all, stand_first
from farsite_cloud.api.call import Call, call_of
from farsite_cloud.api.etags import IF_MATCH, check_unchanged, etag
from farsite_cloud.attempts import guessing
from farsite_cloud.ids import new_id
from farsite_cloud.mail.letters import Letter
from farsite_cloud.organizations.service import members_in_role_not
from farsite_cloud.providers.models import IdentityProvider
from farsite_cloud.providers.service import CALLBACK, CODE_LIFETIME, Domains, Identities, Providers
from farsite_cloud.sessions.endings import end_of_accounts, end_of_tokens
from farsite_cloud.signaling.notices import tell_ended
from farsite_signaling.rest import Answer, Api
from farsite_signaling.wire import provider_api as wire
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.rights import Right, Role, rights_of

api = Api()
_PROVIDER = "/organizations/{org}/identity-provider"
_DOMAINS = f"{_PROVIDER}/domains"
OWN = Right.ORGANIZATION_OWN
_CHANGED = "The identity provider that vouched for this sign-in was changed."


@api.route("GET", _PROVIDER, need=OWN, response=wire.Provider)
async def get_identity_provider(request: web.Request) -> Answer:
    """The organization's identity provider, without its secret."""
    call = call_of(request)
    return await _answer(
        call, await Providers(call.whole).get(), required=call.organization.provider_required
    )


async def _answer(call: Call, provider: IdentityProvider, *, required: bool) -> Answer:
    domains = await Domains(call.whole).all()
    body = wire.Provider(
        issuer=provider.issuer,
        client_id=provider.client_id,
        has_secret=provider.client_secret is not None,
        new_members=None if provider.new_members is None else Role(provider.new_members),
        counts_as_mfa=provider.counts_as_mfa,
        required=required,
        redirect_uri=call.services.urls.api + CALLBACK,
        domains=[wire.Domain(domain=row.domain, proven=row.proven_at is not None) for row in domains],
    )
    return Answer(body, etag(provider.revision))


@api.route(
    "PUT",
    _PROVIDER,
    need=OWN,
    request=wire.ProviderRequest,
    response=wire.Provider,
    headers=(IF_MATCH,),
    errors=(ErrorCode.PROVIDER_REFUSED, ErrorCode.OUTBOUND_REFUSED, ErrorCode.OUTBOUND_FAILED),
)
async def set_identity_provider(request: web.Request, body: wire.ProviderRequest) -> Answer:
    """Set it, after asking it whether it is one. Another issuer or client ends the sign-ins it vouched for."""
    call = call_of(request)
    with call.act("organization.provider_set", body.issuer) as act:
        # Whoever a provider vouches for comes in with all that they may do, owners too.
        demand_all(call, rights_of(Role.OWNER))
        await call.services.providers.discover(body.issuer)
        organization = await stand_first(request, OWN)
        provider = await _stored(request, call, body)
        if body.required and not organization.provider_required:
            await _require(call)
        organization.provider_required = body.required
        act.details |= body.model_dump(mode="json", exclude={"client_secret", "issuer"})
        await call.session.flush()
    return await _answer(call, provider, required=body.required)


async def _stored(request: web.Request, call: Call, body: wire.ProviderRequest) -> IdentityProvider:
    providers = Providers(call.whole)
    provider = await providers.find()
    if provider is None:
        provider = IdentityProvider(id=new_id(call.now), created_at=call.now, revision=0)
        call.whole.add(provider)
    else:
        await check_unchanged(request, provider)
        if (provider.issuer, provider.client_id) != (body.issuer, body.client_id):
            provider.client_secret = None
            await _end_vouched(call)
    provider.issuer, provider.client_id = body.issuer, body.client_id
    provider.new_members, provider.counts_as_mfa = body.new_members, body.counts_as_mfa
    if body.client_secret is not None:
        provider.client_secret = providers.seal(body.client_secret.get_secret_value(), call.services.vault)
    provider.revision += 1
    return provider


async def _require(call: Call) -> None:
    """Everybody but owners comes in by the provider from now on; what they opened otherwise ends."""
    if not any(row.proven_at for row in await Domains(call.whole).all()):
        detail = "Prove a domain of yours first: without one the provider can vouch for nobody."
        raise FarsiteError(ErrorCode.CONFLICT, detail)
    others = await members_in_role_not(call.session, call.organization.id, Role.OWNER)
    ended = await end_of_accounts(call.whole, others, call.now)
    detail = f"The organization {call.organization.name!r} now asks to sign in by its identity provider."
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.PROVIDER_REQUIRED, detail))


async def _end_vouched(call: Call, detail: str = _CHANGED, only: str | None = None) -> None:
    """`only`: of this account."""
    await drop_vouched(call.session, call.organization.id, only)
    ended = []
    for account_id, token_id in await vouched_tokens(call.session, call.organization.id, only):
        await revoke_token(call.session, token_id, call.now)
        ended += await end_of_tokens(call.session, account_id, [token_id], call.now)
    peers = call.services.peers
    call.later(lambda: tell_ended(peers, ended, ErrorCode.SESSION_ENDED, detail))


@api.route("DELETE", _PROVIDER, need=OWN, headers=(IF_MATCH,))
async def remove_identity_provider(request: web.Request) -> None:
    """Remove it: the sign-ins it vouched for end, and its identities are forgotten. Members and domains stay."""
    call = call_of(request)
    with call.act("organization.provider_removed") as act:
        organization = await stand_first(request, OWN)
        provider = await Providers(call.whole).get()
        act.target = provider.issuer
        await check_unchanged(request, provider)
        await _end_vouched(call)
        await Providers(call.whole).remove()
        organization.provider_required = False


@api.route("POST", _DOMAINS, need=OWN, request=wire.DomainRequest)
async def ask_for_domain(request: web.Request, body: wire.DomainRequest) -> None:
    """Begin to prove a domain: a code is mailed to one of the addresses that only its owner reads."""
    call = call_of(request)
    with call.act("organization.domain_asked", body.domain):
        await stand_first(request, OWN)
        address = f"{body.mailbox}@{body.domain}"
        await call.services.limits.mails_to.begin(address)
        await call.services.limits.mails_from.begin(f"organization {call.organization.id}")
        code = await Domains(call.whole).ask(body.domain, call.now)
        until = f"{call.now + CODE_LIFETIME:%Y-%m-%d %H:%M}"
        organization, by = call.organization.name, call.caller.email
        values = {"code": code, "until": until, "organization": organization, "domain": body.domain, "by": by}
        call.mail(address, Letter.DOMAIN, really=True, **values)


@api.route(
    "POST", f"{_DOMAINS}/confirm", need=OWN, request=wire.DomainProof, errors=(ErrorCode.CODE_INVALID,)
)
async def confirm_domain(request: web.Request, body: wire.DomainProof) -> None:
    """Give the mailed code back: the domain is the organization's."""
    call = call_of(request)
    with call.act("organization.domain_proven", body.domain):
        await stand_first(request, OWN)
        async with guessing(call.services.limits.codes, f"domain {call.organization.id}"):
            await Domains(call.whole).confirm(body.domain, body.code.get_secret_value(), call.now)


@api.route("DELETE", f"{_DOMAINS}/{{domain}}", need=OWN)
async def remove_domain(request: web.Request) -> None:
    """Give a domain up: the provider vouches for nobody new of it. Whoever is linked stays."""
    call = call_of(request)
    with call.act("organization.domain_removed", request.match_info["domain"]):
        await stand_first(request, OWN)
        await Domains(call.whole).remove(request.match_info["domain"].lower())


@api.route("DELETE", f"{_PROVIDER}/identities/{{account}}", need=OWN)
async def unlink_identity(request: web.Request) -> None:
    """Forget who a member is at the provider: the next identity with the address is linked anew. Sign-ins that the
    provider vouched for end: they were somebody else's, perhaps."""
    call, account_id = call_of(request), request.match_info["account"]
    with call.act("organization.identity_unlinked", account_id):
        await stand_first(request, OWN)
        if not await Identities(call.whole).unlink(account_id):
            raise FarsiteError(ErrorCode.NOT_FOUND, "No identity of the provider is linked to this account.")
        await _end_vouched(call, "An owner unlinked you from the identity provider.", account_id)
