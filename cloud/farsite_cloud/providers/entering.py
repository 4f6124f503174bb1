"""Letting in who was vouched for: known, linked, added or made, audited in any case."""

from __future__ import annotations

from farsite_cloud.accounts.models import Account
from farsite_cloud.accounts.service import create_account, find_account
from farsite_cloud.api.call import Call
from farsite_cloud.audit.log import Act
from farsite_cloud.database import Scope
from farsite_cloud.organizations.service import lock, membership
from farsite_cloud.organizations.suspension import check_active
from farsite_cloud.providers.claims import Claims
from farsite_cloud.providers.directory import refused
from farsite_cloud.providers.flow import Client
from farsite_cloud.providers.joining import Facts, Verdict, decide
from farsite_cloud.providers.models import IdentityProvider
from farsite_cloud.providers.service import Domains, Identities, Providers
from farsite_cloud.users.service import Users
from farsite_signaling.wire.ids import clean
from farsite_signaling.wire.rights import Role

NO_PASSWORD = "unusable"


async def admit(call: Call, scope: Scope, client: Client, claims: Claims, act: Act) -> tuple[Account, bool]:
    """The account, and whether a second factor counts. Raises `provider_refused`."""
    act.actor, act.details["subject"] = claims.proven_email or "", clean(claims.sub)
    organization = await lock(scope.session, scope.organization_id)
    provider = await Providers(scope).get()
    if (provider.issuer, provider.client_id) != (client.issuer, client.client_id):
        raise refused("it was changed meanwhile; begin again")
    account, verdict = await _resolve(call, scope, provider, claims)
    if verdict in (Verdict.ADD, Verdict.CREATE):
        # As for invitations: a suspended one takes nobody in.
        check_active(organization)
    act.actor, act.details["verdict"] = account.email, str(verdict)
    return account, provider.counts_as_mfa or "mfa" in claims.amr


async def _resolve(
    call: Call, scope: Scope, provider: IdentityProvider, claims: Claims
) -> tuple[Account, Verdict]:
    email = claims.proven_email
    linked = await Identities(scope).find(claims.iss, claims.sub)
    holder = None if email is None else await find_account(scope.session, email)
    verdict = decide(
        await _facts(scope, provider, claims, None if linked is None else linked.account_id, holder)
    )
    if verdict is Verdict.ENTER:
        assert linked is not None, "decided from it"
        account = await scope.session.get(Account, linked.account_id)
        if account is None or account.disabled_at is not None:
            raise refused("the account it stands for is disabled")
        return account, verdict
    assert email is not None, "decided from it"
    account = holder or create_account(scope.session, email, NO_PASSWORD, call.now, _name(claims))
    await scope.session.flush()
    if verdict is not Verdict.LINK:
        await _join(call, scope, provider, account)
    Identities(scope).link(claims.iss, claims.sub, account.id, call.now)
    return account, verdict


async def _facts(
    scope: Scope, provider: IdentityProvider, claims: Claims, linked: str | None, holder: Account | None
) -> Facts:
    email = claims.proven_email
    return Facts(
        linked=linked,
        linked_is_member=linked is not None and await _is_member(scope, linked),
        email=email,
        domain_proven=email is not None and await Domains(scope).proven(email.rpartition("@")[2]),
        account=None if holder is None else holder.id,
        account_is_member=holder is not None and await _is_member(scope, holder.id),
        account_linked_elsewhere=holder is not None
        and await Identities(scope).has_one(claims.iss, holder.id),
        new_members=provider.new_members is not None,
    )


async def _is_member(scope: Scope, account_id: str) -> bool:
    return await membership(scope.session, scope.organization_id, account_id) is not None


async def _join(call: Call, scope: Scope, provider: IdentityProvider, account: Account) -> None:
    """With the role the organization chose, and no folder yet: those are given by its people."""
    role = Role(provider.new_members or Role.VIEWER)
    with call.act(
        "user.joined", account.email, actor=account.email, organizations=[scope.organization_id]
    ) as act:
        act.details |= {"role": str(role), "by": "identity provider"}
        await Users(scope).add(account.id, role, [], all_folders=False, now=call.now)


def _name(claims: Claims) -> str:
    return clean((claims.name or "").strip())[:100]
