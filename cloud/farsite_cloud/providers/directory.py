"""What providers publish: endpoints and keys, asked for when needed and kept for a while."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from farsite_cloud.clock import Clock
from farsite_cloud.outbound import Outbound, Reply, check_url
from farsite_cloud.providers.claims import Claims, Expected, UnknownKey, check_token
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

KEPT = timedelta(hours=1)
# A token signed by an unknown key makes us look for new ones, but not for each such token.
LOOK_AGAIN = timedelta(seconds=30)
MOST = 500
MOST_KEYS = 50
ModelT = TypeVar("ModelT", bound=BaseModel)


class Discovery(BaseModel):
    """OpenID Connect Discovery 1.0, 3."""

    model_config = ConfigDict(extra="ignore")

    issuer: str = Field(max_length=500)
    authorization_endpoint: str = Field(max_length=2000)
    token_endpoint: str = Field(max_length=2000)
    jwks_uri: str = Field(max_length=2000)
    userinfo_endpoint: str | None = Field(default=None, max_length=2000)
    token_endpoint_auth_methods_supported: list[str] = Field(default=["client_secret_basic"], max_length=50)
    code_challenge_methods_supported: list[str] | None = Field(default=None, max_length=50)
    authorization_response_iss_parameter_supported: bool = False


class KeySet(BaseModel):
    model_config = ConfigDict(extra="ignore")

    keys: list[dict[str, Any]] = Field(max_length=MOST_KEYS)


@dataclass(frozen=True)
class _Kept:
    what: Discovery | KeySet
    at: datetime


class Directory:
    """Shared by all organizations: what it keeps came from the issuer's own address."""

    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def discover(self, issuer: str) -> Discovery:
        """Raises `outbound_refused`, `outbound_failed`, `provider_refused` for a document that is not the issuer's."""
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        found = await self._get(url, Discovery, KEPT)
        if found.issuer != issuer:
            raise refused(f"{url} is the document of another issuer ({found.issuer[:200]!r})")
        for endpoint in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            check_url(endpoint)
        return found

    async def claims(self, token: str, discovery: Discovery, expected: Expected) -> Claims:
        """Raises `Untrue` and what asking for keys raises."""
        keys = await self._get(discovery.jwks_uri, KeySet, KEPT)
        try:
            return check_token(token, keys.keys, expected, self._clock())
        except UnknownKey:
            keys = await self._get(discovery.jwks_uri, KeySet, LOOK_AGAIN)
            return check_token(token, keys.keys, expected, self._clock())

    async def _get(self, url: str, model: type[ModelT], fresh: timedelta) -> ModelT:
        kept = self._kept.get(url)
        if kept is not None and isinstance(kept.what, model) and self._clock() - kept.at < fresh:
            return kept.what
        reply = await self._outbound.request("GET", url, headers={"Accept": "application/json"})
        found = parse(reply, model, url)
        self._kept[url] = _Kept(found, self._clock())  # type: ignore[arg-type]
        self._kept.move_to_end(url)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return found


def parse(reply: Reply, model: type[ModelT], url: str) -> ModelT:
    """Raises `provider_refused`."""
    if reply.status != 200:
        raise refused(f"{url[:300]} answers {reply.status}{error_in(reply)}")
    try:
        return model.model_validate_json(reply.body)
    except ValidationError:
        raise refused(f"{url[:300]} answers something else than it should") from None


def error_in(reply: Reply) -> str:
    """RFC 6749, 5.2: its `error` is one of few words."""
    try:
        data = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ""
    error = data.get("error") if isinstance(data, Mapping) else None
    return f" ({clean_word(error)})" if isinstance(error, str) else ""


def clean_word(text: str) -> str:
    return "".join(character for character in text[:60] if character.isascii() and character.isprintable())


def refused(why: str) -> FarsiteError:
    return FarsiteError(ErrorCode.PROVIDER_REFUSED, f"The identity provider cannot be used: {why}.")
