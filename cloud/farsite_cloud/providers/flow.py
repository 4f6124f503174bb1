"""The authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0, 3.1; RFC 7636; RFC 9207)."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field

from farsite_cloud.outbound import Outbound
from farsite_cloud.providers.claims import Claims, Expected, Untrue
from farsite_cloud.providers.directory import Directory, Discovery, parse, refused

logger = logging.getLogger(__name__)
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class TokenAnswer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id_token: str = Field(max_length=65536, repr=False)
    access_token: str = Field(default="", max_length=65536, repr=False)


class UserInfo(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sub: str
    email: str | None = Field(default=None, max_length=254)
    email_verified: bool | str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Client:
    """This cloud, as an organization's provider knows it."""

    issuer: str
    client_id: str
    secret: str | None
    redirect_uri: str


@dataclass(frozen=True)
class Question:
    """What must come back unchanged; `user_code` is of the device that waits, if one does."""

    nonce: str
    verifier: str
    user_code: str

    def dump(self) -> bytes:
        return json.dumps(vars(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Question:
        return cls(**json.loads(data))

    @classmethod
    def new(cls, user_code: str) -> Question:
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(48), user_code)


def authorization_url(discovery: Discovery, client: Client, question: Question, state: str) -> str:
    challenge = hashlib.sha256(question.verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": "openid email profile",
        "state": state,
        "nonce": question.nonce,
        "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    glue = "&" if "?" in discovery.authorization_endpoint else "?"
    return discovery.authorization_endpoint + glue + urlencode(query)


async def exchange(
    outbound: Outbound, directory: Directory, client: Client, question: Question, code: str
) -> Claims:
    """Who came back. Raises `provider_refused`, `outbound_refused`, `outbound_failed`."""
    discovery = await directory.discover(client.issuer)
    answer = await _redeem(outbound, discovery, client, question, code)
    expected = Expected(client.issuer, client.client_id, question.nonce)
    try:
        claims = await directory.claims(answer.id_token, discovery, expected)
    except Untrue as error:
        logger.warning("identity provider %s: %s", client.issuer, error)
        raise refused(str(error)) from None
    if claims.email is None and discovery.userinfo_endpoint and answer.access_token:
        return await _with_user_info(outbound, discovery.userinfo_endpoint, answer, claims)
    return claims


async def _redeem(
    outbound: Outbound, discovery: Discovery, client: Client, question: Question, code: str
) -> TokenAnswer:
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": question.verifier,
    }
    headers = dict(_FORM)
    if client.secret is None:
        fields["client_id"] = client.client_id
    elif "client_secret_basic" in discovery.token_endpoint_auth_methods_supported:
        headers["Authorization"] = _basic(client.client_id, client.secret)
    else:
        fields |= {"client_id": client.client_id, "client_secret": client.secret}
    url = discovery.token_endpoint
    reply = await outbound.request("POST", url, headers=headers, data=urlencode(fields).encode())
    return parse(reply, TokenAnswer, url)


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749, 2.3.1: both are form-encoded first."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


async def _with_user_info(outbound: Outbound, url: str, answer: TokenAnswer, claims: Claims) -> Claims:
    """Some providers tell the address here only. It must be of the same person (5.3.2)."""
    headers = {"Authorization": f"Bearer {answer.access_token}", "Accept": "application/json"}
    told = parse(await outbound.request("GET", url, headers=headers), UserInfo, url)
    if told.sub != claims.sub:
        raise refused("it told of another person than it let in")
    said = {"email": told.email, "email_verified": told.email_verified, "name": claims.name or told.name}
    return claims.model_copy(update=said)
