"""Signing in by an organization's identity provider: a small real one, which can be made to lie."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from farsite_cloud.organizations.models import Organization
from farsite_cloud.providers.joining import Facts, Verdict, decide
from farsite_cloud.testing import OWNER_EMAIL
from farsite_signaling.wire.errors import FarsiteError
from farsite_signaling.wire.rights import Role

SECRET = "canary-client-secret"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def _jwk(key: Any, kid: str) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    )
    return json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}


@dataclass
class Idp:
    """An OpenID provider (code flow, PKCE). `claims` are added to what it says; None takes one away."""

    clock: Any
    key: Any = RSA
    kid: str = "one"
    algorithm: str = "RS256"
    published: dict[str, Any] = field(default_factory=lambda: {"one": RSA})
    claims: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] | None = None
    methods: tuple[str, ...] = ("client_secret_basic",)
    issuer: str = ""
    said_issuer: str | None = None
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    authorization: str | None = None
    says_iss: bool = False
    gives_iss: bool = True

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/userinfo", self._user_info)
        return app

    async def _discovery(self, request: web.Request) -> web.Response:
        self.fetched.append("discovery")
        document = {
            "issuer": self.said_issuer or self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "token_endpoint_auth_methods_supported": list(self.methods),
            "authorization_response_iss_parameter_supported": self.says_iss,
        }
        return web.json_response(document)

    async def _keys(self, request: web.Request) -> web.Response:
        self.fetched.append("keys")
        return web.json_response({"keys": [_jwk(key, kid) for kid, key in self.published.items()]})

    async def _authorize(self, request: web.Request) -> web.Response:
        code = f"code{len(self.asked)}"
        self.asked[code] = dict(request.query)
        query = {"code": code, "state": request.query["state"]}
        if self.gives_iss:
            query["iss"] = self.issuer
        raise web.HTTPFound(f"{request.query['redirect_uri']}?{urlencode(query)}")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.authorization = request.headers.get("Authorization")
        asked = self.asked.pop(str(form["code"]), None)
        if asked is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert asked["code_challenge_method"] == "S256" and form["redirect_uri"] == asked["redirect_uri"]
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": "subject-1",
            "aud": asked["client_id"],
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "email": "ada@corp.example",
            "email_verified": True,
            "name": "Ada",
        } | self.claims
        said = {name: value for name, value in claims.items() if value is not None}
        key = None if self.algorithm == "none" else self.key
        token = jwt.encode(said, key, algorithm=self.algorithm, headers={"kid": self.kid})
        return web.json_response({"id_token": token, "access_token": "at", "token_type": "Bearer"})

    async def _user_info(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer at"
        return web.json_response(self.user_info or {})


@pytest.fixture
async def idp(clock):
    made = Idp(clock)
    async with TestServer(made.app()) as server:
        made.issuer = str(server.make_url("")).rstrip("/")
        yield made


@pytest.fixture
async def world(world_in):
    return await world_in(None, outbound_allowed=["127.0.0.0/8"])


async def _set_up(world, idp, owner=None, domain: str | None = "corp.example", **settings):
    owner = owner or world.owner
    body = {"issuer": idp.issuer, "client_id": "farsite", "client_secret": SECRET} | settings
    made = await owner.ok("PUT", "~/identity-provider", body | {"required": False})
    if domain is not None:
        await owner.ok("POST", "~/identity-provider/domains", {"domain": domain})
        code = await world.mailed_code(f"postmaster@{domain}")
        await owner.ok("POST", "~/identity-provider/domains/confirm", {"domain": domain, "code": code})
    if settings.get("required"):
        await owner.ok("PUT", "~/identity-provider", body)
    return made


@dataclass
class Browser:
    http: aiohttp.ClientSession
    url: str
    status: int = 0
    text: str = ""

    async def get(self, url: str) -> str:
        """Where it is sent, or empty."""
        async with self.http.get(url, allow_redirects=False) as response:
            self.status, self.text = response.status, await response.text()
            return response.headers.get("Location", "")

    async def leave(self, organization: str, user_code: str = "") -> str:
        query = urlencode({"organization": organization, "user_code": user_code})
        await self.get(f"{self.url}/device/sso?{query}")
        if self.status != 200:
            return ""
        match = re.search(r'href="([^"]+)" rel', self.text)
        return match[1].replace("&amp;", "&")

    async def sign_in(self, organization: str, user_code: str = "") -> int:
        target = await self.leave(organization, user_code)
        await self.get(await self.get(target))
        return self.status

    async def approve(self) -> None:
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.text))
        data = hidden | {"answer": "approve"}
        async with self.http.post(
            f"{self.url}/device/answer", data=data, headers={"Origin": self.url}
        ) as response:
            assert response.status == 200, await response.text()


@pytest.fixture
async def browser(world):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Browser(http, world.running.url)


async def _person(world, browser, organization: str):
    """Somebody with a token, by way of a device and the provider."""
    started = await world.stranger.ok("POST", "/auth/device", {"name": "laptop"})
    assert await browser.sign_in(organization, started["user_code"]) == 200, browser.text
    assert started["user_code"] in browser.text
    await browser.approve()
    result = await world.stranger.ok("POST", "/auth/device/token", {"device_code": started["device_code"]})
    person = await world.signed_in(result["account"]["email"], world.owner.org)
    person.token = result["token"]
    return person


async def test_a_member_signs_in_and_only_the_organization_opens(world, idp, browser):
    member = await world.member(Role.ADMIN, email="ada@corp.example")
    mine = await member.ok("POST", "/organizations", {"name": "Ada's own"})
    await _set_up(world, idp)
    ada = await _person(world, browser, "corp.example")
    assert ada.account_id == member.account_id
    await ada.ok("GET", "~/edge-hosts")
    # Another organization of the same account, and the account itself, are not the provider's to open.
    assert (await ada("GET", f"/organizations/{mine['id']}")).status == 404
    assert [one["id"] for one in (await ada.ok("GET", "/me"))["organizations"]] == [world.owner.org]
    for method, path, body in [
        ("POST", "/me/password", {"current_password": "x", "password": "y" * 12}),
        ("GET", "/me/sessions", None),
        ("POST", "/me/mfa/secret", {"password": "x"}),
        ("POST", "/me/passkeys/options", {"password": "x"}),
        ("POST", "/me/tokens", {"name": "t", "scopes": ["edge.read"]}),
        ("POST", "/organizations", {"name": "x"}),
        ("GET", "/me/invitations", None),
    ]:
        assert (await ada(method, path, body)).code == "forbidden", path
    [row] = await world.audit("account.provider_sign_in")
    assert (row["outcome"], row["actor"], row["details"]["verdict"]) == (
        "allowed",
        "ada@corp.example",
        "link",
    )
    # The same person, whatever their address is there by now.
    idp.claims = {"email": "ada.lovelace@elsewhere.example", "email_verified": False}
    again = await _person(world, browser, world.owner.org)
    assert again.token != ada.token


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS384"), (EC, "ES256")])
async def test_new_people_become_what_the_organization_says(world, idp, browser, key, algorithm):
    idp.key, idp.algorithm, idp.published = key, algorithm, {"one": key}
    await _set_up(world, idp, new_members="operator")
    ada = await _person(world, browser, "corp.example")
    [user] = [one for one in (await world.owner.ok("GET", "~/users"))["users"] if one["role"] != "owner"]
    assert (user["email"], user["name"], user["role"], user["folder_ids"]) == (
        "ada@corp.example",
        "Ada",
        "operator",
        [],
    )
    assert (await ada.ok("GET", "~/edge-hosts"))["edge_hosts"] == []
    await world.owner.ok("DELETE", f"~/users/{user['account_id']}")
    assert await browser.sign_in("corp.example") == 403
    assert "no longer a member" in browser.text


LIES: dict[str, dict[str, Any]] = {
    "nonce": {"claims": {"nonce": "another"}},
    "no nonce": {"claims": {"nonce": None}},
    "audience": {"claims": {"aud": "somebody-else"}},
    "azp": {"claims": {"aud": ["farsite", "other"], "azp": "other"}},
    "many audiences": {"claims": {"aud": ["farsite", "other"]}},
    "issuer": {"claims": {"iss": "https://accounts.example"}},
    "expired": {"claims": {"exp": 1}},
    "future": {"claims": {"iat": 9_999_999_999}},
    "old": {"claims": {"iat": 1}},
    "no subject": {"claims": {"sub": None}},
    "swapped key": {"key": rsa.generate_private_key(65537, 2048)},
    "unknown key": {"kid": "two"},
    "none": {"algorithm": "none"},
    "shared secret": {"algorithm": "HS256", "key": SECRET * 2},
    "unverified e-mail": {"claims": {"email_verified": False}},
    "not said verified": {"claims": {"email_verified": None}},
    "no e-mail": {"claims": {"email": None}},
    "another domain": {"claims": {"email": "ada@victim.example"}},
    "subdomain": {"claims": {"email": "ada@sub.corp.example"}},
    "two addresses": {"claims": {"email": "ada@victim.example@corp.example"}},
    "odd address": {"claims": {"email": "ada@corp.example@victim.example"}},
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_is_not_proven_lets_nobody_in(world, idp, browser, lie):
    await world.member(Role.ADMIN, email="ada@corp.example")
    await world.member(Role.ADMIN, email="ada@victim.example")
    await _set_up(world, idp, new_members="viewer")
    before = len((await world.owner.ok("GET", "~/users"))["users"])
    for name, value in LIES[lie].items():
        setattr(idp, name, value)
    assert await browser.sign_in("corp.example") == 403, browser.text
    assert len((await world.owner.ok("GET", "~/users"))["users"]) == before
    [row] = await world.audit("account.provider_sign_in")
    assert (row["outcome"], row["details"]["code"]) == ("refused", "provider_refused")


async def test_a_provider_that_names_itself_in_answers_does_so_in_all(world, idp, browser):
    """RFC 9207, 2.4: an answer without `iss` may be another provider's."""
    idp.says_iss = True
    await _set_up(world, idp, new_members="viewer")
    assert await browser.sign_in("corp.example") == 200, browser.text
    idp.gives_iss = False
    assert await browser.sign_in("corp.example") == 403 and "(iss)" in browser.text


async def test_a_secret_of_the_client_does_not_sign_tokens_with_a_published_key(world, idp, browser):
    """The classic confusion: HMAC with the provider's public key as the secret."""
    await _set_up(world, idp, new_members="viewer")
    idp.algorithm = "HS256"
    idp.key = json.dumps(_jwk(RSA, "one"))
    assert await browser.sign_in("corp.example") == 403


async def test_keys_are_kept_and_asked_for_again_when_they_change(world, idp, browser):
    await _set_up(world, idp, new_members="viewer")
    assert await browser.sign_in("corp.example") == 200
    assert await browser.sign_in("corp.example") == 200
    assert idp.fetched == ["discovery", "keys"]
    idp.key, idp.kid, idp.algorithm, idp.published = EC, "two", "ES256", {"one": RSA, "two": EC}
    assert await browser.sign_in("corp.example") == 403, "asked for a moment ago"
    world.clock.advance(seconds=30)
    assert await browser.sign_in("corp.example") == 200
    assert idp.fetched == ["discovery", "keys", "keys"]
    # A key that was withdrawn counts no longer than what is kept.
    idp.key, idp.kid, idp.algorithm, idp.published = RSA, "one", "RS256", {"two": EC}
    world.clock.advance(hours=1)
    assert await browser.sign_in("corp.example") == 403


async def test_a_state_counts_once_in_the_browser_it_was_made_for(world, idp, browser):
    await _set_up(world, idp, new_members="viewer")
    back = await browser.get(await browser.leave("corp.example"))
    async with aiohttp.ClientSession() as http:
        other = Browser(http, browser.url)
        await other.get(back)
        assert (other.status, "begun in this browser" in other.text) == (400, True)
    await browser.get(back)
    assert browser.status == 200
    await browser.get(back)
    assert browser.status == 400
    late = await browser.get(await browser.leave("corp.example"))
    world.clock.advance(minutes=10)
    await browser.get(late)
    assert browser.status == 400
    await browser.get(f"{browser.url}/device/sso/callback?state=made-up&code=x")
    assert browser.status == 400


async def test_answers_of_others_and_refusals_are_said(world, idp, browser):
    await _set_up(world, idp, new_members="viewer")

    async def come_back(**fields: str) -> None:
        target = await browser.leave("corp.example")
        state = parse_qs(urlsplit(target).query)["state"][0]
        await browser.get(f"{browser.url}/device/sso/callback?{urlencode({'state': state, **fields})}")

    await come_back(error="access_denied<script>")
    assert "access_denied" in browser.text and "<script>" not in browser.text
    await come_back(code="x", iss="https://evil.example")
    assert browser.status == 403 and "iss" in browser.text
    await come_back()
    assert browser.status == 403
    await come_back(code="unknown")
    assert "invalid_grant" in browser.text


async def test_another_organizations_provider_vouches_for_nobody_here(world, idp, browser, clock):
    """Mallory owns an organization and a provider, and knows who is whom elsewhere."""
    victim = await world.member(Role.ADMIN, email="ada@corp.example")
    await _set_up(world, idp)
    assert await browser.sign_in("corp.example") == 200
    mallory = await world.other_organization()
    # The same issuer, which says the same subject: a different organization's word, without the domain.
    await _set_up(world, idp, mallory, domain=None, new_members="admin")
    assert await browser.sign_in(mallory.org) == 403
    assert "has proven to be its own" in browser.text
    # Nor does asking for the domain help without its postmaster's mail.
    await mallory.ok("POST", "~/identity-provider/domains", {"domain": "corp.example"})
    guess = {"domain": "corp.example", "code": "aaaaa-aaaaa-aaaaa-aaaaa"}
    assert (await mallory("POST", "~/identity-provider/domains/confirm", guess)).code == "code_invalid"
    own = {"domain": "mallory.example"}
    await mallory.ok("POST", "~/identity-provider/domains", own)
    code = await world.mailed_code("postmaster@mallory.example")
    stolen = {"domain": "corp.example", "code": code}
    assert (await mallory("POST", "~/identity-provider/domains/confirm", stolen)).code == "code_invalid"
    assert await browser.sign_in(mallory.org) == 403
    users = [one["account_id"] for one in (await mallory.ok("GET", "~/users"))["users"]]
    assert victim.account_id not in users


async def test_an_address_that_went_to_somebody_else_does_not_bring_the_account(world, idp, browser):
    member = await world.member(Role.ADMIN, email="ada@corp.example")
    await _set_up(world, idp)
    assert await browser.sign_in("corp.example") == 200
    idp.claims = {"sub": "subject-2"}
    assert await browser.sign_in("corp.example") == 403
    assert "somebody else" in browser.text
    await world.owner.ok("DELETE", f"~/identity-provider/identities/{member.account_id}")
    assert await browser.sign_in("corp.example") == 200


async def test_members_must_sign_in_by_it_when_the_organization_says_so(world, idp, browser):
    member = await world.member(Role.ADMIN, email="ada@corp.example")
    token = await member.ok("POST", "/me/tokens", {"name": "t", "scopes": ["edge.read"]})
    await _set_up(world, idp, required=True)
    refused = await member("GET", "~/edge-hosts")
    assert (refused.status, refused.code) == (403, "provider_required")
    member.token = token["token"]
    assert (await member("GET", "~/edge-hosts")).code == "provider_required"
    await world.owner.ok("GET", "~/edge-hosts")
    ada = await _person(world, browser, "corp.example")
    await ada.ok("GET", "~/edge-hosts")
    await world.owner.ok("DELETE", "~/identity-provider")
    assert (await ada("GET", "~/edge-hosts")).status == 401
    await member.ok("GET", "~/edge-hosts")


async def test_a_domain_comes_before_the_demand(world, idp):
    body = {"issuer": idp.issuer, "client_id": "farsite", "required": True}
    assert (await world.owner("PUT", "~/identity-provider", body)).code == "conflict"


async def test_a_second_factor_counts_when_the_provider_or_the_organization_says_so(world, idp, browser):
    async with world.services.database.writing() as session:
        from farsite_cloud.organizations.models import Organization

        (await session.get(Organization, world.owner.org)).require_mfa = True
    world.owner.token = (await _owner_with_mfa(world)).token
    await _set_up(world, idp, new_members="viewer")
    ada = await _person(world, browser, "corp.example")
    assert (await ada("GET", "~/edge-hosts")).code == "mfa_setup_required"
    idp.claims = {"amr": ["pwd", "mfa"]}
    ada = await _person(world, browser, "corp.example")
    await ada.ok("GET", "~/edge-hosts")
    idp.claims = {}
    tag = (await world.owner("GET", "~/identity-provider")).headers["ETag"]
    body = {"issuer": idp.issuer, "client_id": "farsite", "new_members": "viewer", "counts_as_mfa": True}
    changed = await world.owner("PUT", "~/identity-provider", body, headers={"If-Match": tag})
    assert changed.body["has_secret"], "what is not given stays"
    assert (await world.owner("PUT", "~/identity-provider", body, headers={"If-Match": tag})).status == 412
    ada = await _person(world, browser, "corp.example")
    await ada.ok("GET", "~/edge-hosts")


async def _owner_with_mfa(world):
    from farsite_cloud.accounts.service import find_account
    from farsite_cloud.accounts.tokens import Origin, issue

    async with world.services.database.writing() as session:
        account = await find_account(session, OWNER_EMAIL)
        token, _ = await issue(session, account, world.clock(), Origin(mfa=True))
    person = await world.signed_in(OWNER_EMAIL, world.owner.org)
    person.token = token
    return person


async def test_the_address_may_come_from_user_info(world, idp, browser):
    await _set_up(world, idp, new_members="viewer")
    idp.claims = {"email": None, "email_verified": None}
    idp.user_info = {"sub": "somebody-else", "email": "ada@corp.example", "email_verified": True}
    assert await browser.sign_in("corp.example") == 403
    idp.user_info |= {"sub": "subject-1"}
    assert await browser.sign_in("corp.example") == 200


@pytest.mark.parametrize(
    ("methods", "secret", "sent"),
    [
        (("client_secret_basic",), SECRET, True),
        (("client_secret_post",), SECRET, False),
        (("none",), None, False),
    ],
)
async def test_it_is_told_the_secret_in_the_way_it_asks_for(world, idp, browser, methods, secret, sent):
    idp.methods = methods
    await _set_up(world, idp, new_members="viewer", client_secret=secret)
    assert await browser.sign_in("corp.example") == 200
    expected = "Basic " + base64.b64encode(f"farsite:{SECRET}".encode()).decode()
    assert idp.authorization == (expected if sent else None)


async def test_what_is_no_provider_is_not_set(world, idp, unused_tcp_port):
    body = {"issuer": idp.issuer, "client_id": "farsite"}
    for issuer, code in [
        ("http://10.0.0.1", "outbound_refused"),
        (f"http://127.0.0.1:{unused_tcp_port}", "outbound_failed"),
        (f"{idp.issuer}/keys", "provider_refused"),
        ("javascript:alert(1)", "outbound_refused"),
    ]:
        refused = await world.owner("PUT", "~/identity-provider", body | {"issuer": issuer})
        assert refused.code == code, refused.text
    idp.said_issuer = "https://another.example"
    assert (await world.owner("PUT", "~/identity-provider", body)).code == "provider_refused"
    assert (await world.owner("GET", "~/identity-provider")).code == "not_found"
    owner = await world.owner("PUT", "~/identity-provider", body | {"new_members": "owner"})
    assert owner.code == "invalid_request"


async def test_without_the_operators_leave_it_is_not_inside(world_in, idp):
    world = await world_in(None)
    refused = await world.owner("PUT", "~/identity-provider", {"issuer": idp.issuer, "client_id": "x"})
    assert refused.code == "outbound_refused"
    assert idp.fetched == []


async def test_admins_do_not_choose_who_vouches_for_owners(world, idp):
    admin = await world.member(Role.ADMIN)
    refused = await admin("PUT", "~/identity-provider", {"issuer": idp.issuer, "client_id": "x"})
    assert (refused.code, refused.body["right"]) == ("forbidden", "organization.own")


async def test_the_secret_is_kept_sealed_and_never_told(tmp_path, world_in, idp, caplog):
    world = await world_in(tmp_path, outbound_allowed=["127.0.0.0/8"])
    made = await _set_up(world, idp)
    assert made["has_secret"] and SECRET not in json.dumps(made)
    assert SECRET not in json.dumps(await world.audit())
    await world.services.database.aclose()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("farsite.db*"))
    assert idp.issuer.encode() in stored and SECRET.encode() not in stored
    assert SECRET not in caplog.text


@pytest.mark.both_databases
async def test_of_two_that_come_back_at_once_one_gets_in(world, idp, browser):
    await _set_up(world, idp, new_members="viewer")
    back = await browser.get(await browser.leave("corp.example"))

    async def go() -> int:
        async with browser.http.get(back, allow_redirects=False) as response:
            return response.status

    assert sorted(await asyncio.gather(*(go() for _ in range(3)))) == [200, 400, 400]


async def test_the_command_line_signs_in_by_it(tmp_path, world, idp, browser):
    await _set_up(world, idp, new_members="operator")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FARSITE")}
    program = (sys.executable, "-m", "farsite_client")
    home = ("--home", str(tmp_path), "--json")
    process = await asyncio.create_subprocess_exec(
        *(*program, "login", browser.url, "--sso", "corp.example", "--no-open", *home),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    shown = json.loads(await process.stdout.readline())
    uri = shown["verification_uri_complete"]
    assert uri.startswith(f"{browser.url}/device/sso?organization=corp.example&user_code=")
    await browser.get(uri)
    match = re.search(r'href="([^"]+)" rel', browser.text)
    assert match is not None, browser.text
    await browser.get(await browser.get(match[1].replace("&amp;", "&")))
    await browser.approve()
    rest = json.loads((await process.stdout.read()).decode().splitlines()[-1])
    assert (await process.wait(), rest["email"], rest["role"]) == (0, "ada@corp.example", "operator")
    shown_again = await asyncio.create_subprocess_exec(
        *(*program, "whoami", *home), stdout=asyncio.subprocess.PIPE, env=environment
    )
    out, _ = await shown_again.communicate()
    assert json.loads(out)["organization_id"] == world.owner.org


def _facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "linked": None,
        "linked_is_member": False,
        "email": "ada@corp.example",
        "domain_proven": True,
        "account": None,
        "account_is_member": False,
        "account_linked_elsewhere": False,
        "new_members": True,
    }
    return Facts(**(values | changes))


def test_verdicts():
    assert decide(_facts()) is Verdict.CREATE
    assert decide(_facts(account="a")) is Verdict.ADD
    assert decide(_facts(account="a", account_is_member=True, new_members=False)) is Verdict.LINK
    assert decide(_facts(linked="a", linked_is_member=True, email=None)) is Verdict.ENTER
    for refused in (
        {"linked": "a"},
        {"email": None},
        {"domain_proven": False},
        {"domain_proven": False, "account": "a", "account_is_member": True},
        {"account": "a", "account_is_member": True, "account_linked_elsewhere": True},
        {"new_members": False},
        {"account": "a", "new_members": False},
    ):
        with pytest.raises(FarsiteError):
            decide(_facts(**refused))


async def test_who_was_vouched_for_by_a_provider_that_is_gone_collects_nothing(world, idp, browser):
    await world.member(Role.ADMIN, email="ada@corp.example")
    await _set_up(world, idp)
    approved = await world.stranger.ok("POST", "/auth/device", {"name": "laptop"})
    await browser.sign_in("corp.example", approved["user_code"])
    await browser.approve()
    waiting = await world.stranger.ok("POST", "/auth/device", {"name": "laptop"})
    await browser.sign_in("corp.example", waiting["user_code"])
    await world.owner.ok("DELETE", "~/identity-provider")
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', browser.text))
    late = await browser.http.post(
        f"{browser.url}/device/answer",
        data=hidden | {"answer": "approve"},
        headers={"Origin": browser.url},
    )
    assert late.status == 401
    collect = {"device_code": approved["device_code"]}
    assert (await world.stranger("POST", "/auth/device/token", collect)).code == "code_invalid"


async def test_who_is_unlinked_is_signed_out(world, idp, browser):
    """The address went to somebody else at the provider: the account was another person's until now."""
    member = await world.member(Role.ADMIN, email="ada@corp.example")
    await _set_up(world, idp)
    before, own = await _person(world, browser, "corp.example"), await world.signed_in("ada@corp.example")
    await world.owner.ok("DELETE", f"~/identity-provider/identities/{member.account_id}")
    assert (await before("GET", "/me")).status == 401
    # What the provider did not vouch for is the account's own.
    assert (await own("GET", "/me")).status == 200


async def test_a_suspended_organization_takes_nobody_in(world, idp, browser):
    await _set_up(world, idp, new_members="viewer")
    async with world.services.database.writing() as session:
        organization = await session.get(Organization, world.owner.org)
        organization.suspended_at = world.clock()
    assert await browser.sign_in("corp.example") == 403
    assert "suspended" in browser.text
    assert len((await world.owner.ok("GET", "~/users"))["users"]) == 1
