"""ID tokens, checked (OpenID Connect Core 1.0, 3.1.3.7). Decisions only: keys and time come in, claims go out."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# By the type of key, so that no token chooses how it is checked. Neither `none` nor secrets shared with the client.
ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
LEEWAY = timedelta(minutes=2)
LONGEST_TOKEN = 32 * 1024
LONGEST_AGE = timedelta(minutes=15)
_SMALLEST_RSA = 2048
# As for addresses that people give: one @, and nothing that mail or pages would read otherwise.
_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9]([a-z0-9.-]{0,188}[a-z0-9])?\Z")


class Untrue(Exception):
    """The token proves nothing. Its words are for the log and for who set the provider up."""


class UnknownKey(Untrue):
    """Signed by a key that is not among the known ones: they may have been changed."""


class Claims(BaseModel):
    model_config = ConfigDict(extra="ignore")

    iss: str = Field(max_length=500)
    sub: str = Field(min_length=1, max_length=255)
    aud: str | list[str]
    exp: float
    iat: float
    nonce: str = Field(max_length=200)
    azp: str | None = None
    nbf: float | None = None
    email: str | None = Field(default=None, max_length=254)
    email_verified: bool | str | None = None
    name: str | None = None
    amr: list[str] = Field(default_factory=list, max_length=50)

    @property
    def proven_email(self) -> str | None:
        """Only what the provider says that it verified; some say so in a string."""
        verified = self.email_verified in (True, "true")
        email = (self.email or "").strip().lower()
        return email if verified and _ADDRESS.match(email) else None


@dataclass(frozen=True)
class Expected:
    issuer: str
    client_id: str
    nonce: str


def check_token(token: str, keys: Sequence[Mapping[str, Any]], expected: Expected, now: datetime) -> Claims:
    """Raises `Untrue`, `UnknownKey`."""
    if len(token) > LONGEST_TOKEN:
        raise Untrue("the ID token is too long")
    try:
        key = _key_for(jwt.get_unverified_header(token), keys)
        claims = Claims.model_validate(_signed(token, key))
    except (jwt.PyJWTError, ValidationError, ValueError, TypeError, RecursionError) as error:
        raise Untrue(f"the ID token is not valid ({type(error).__name__})") from None
    _check(claims, expected, now)
    return claims


def _signed(token: str, key: jwt.PyJWK) -> dict[str, Any]:
    # Times and names are compared below: with our clock, and exactly.
    unchecked = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss"), False)
    return jwt.decode(token, key, algorithms=[key.algorithm_name], options=unchecked)  # type: ignore[arg-type]


def _key_for(header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> jwt.PyJWK:
    algorithm, kid = header.get("alg"), header.get("kid")
    fitting = [key for key in keys if _fits(key, algorithm)]
    found = [key for key in fitting if kid is None or key.get("kid") == kid]
    if "crit" in header:
        raise Untrue("the ID token asks for what is not known here (crit)")
    if not any(algorithm in names for names in ALGORITHMS.values()):
        raise Untrue("the ID token is not signed as it must be")
    if not found or (kid is None and len(found) > 1):
        raise UnknownKey("the ID token is signed by a key the provider does not publish")
    made = jwt.PyJWK(dict(found[0]), algorithm=str(algorithm))
    if isinstance(made.key, RSAPublicKey) and made.key.key_size < _SMALLEST_RSA:
        raise Untrue("the provider's key is too short")
    return made


def _fits(key: Mapping[str, Any], algorithm: object) -> bool:
    """`use` and `alg` of a key bind it to what it is for (RFC 7517, 4.2 and 4.4)."""
    return (
        algorithm in ALGORITHMS.get(str(key.get("kty")), ())
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
    )


def _check(claims: Claims, expected: Expected, now: datetime) -> None:
    audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    moment, leeway = now.timestamp(), LEEWAY.total_seconds()
    if claims.iss != expected.issuer:
        raise Untrue("the ID token is another issuer's")
    if expected.client_id not in audience:
        raise Untrue("the ID token is for somebody else (aud)")
    if claims.azp not in (None, expected.client_id) or (len(audience) > 1 and claims.azp is None):
        raise Untrue("the ID token was given to somebody else (azp)")
    if not hmac.compare_digest(claims.nonce.encode(), expected.nonce.encode()):
        raise Untrue("the ID token answers another question (nonce)")
    if claims.exp <= moment - leeway:
        raise Untrue("the ID token has expired; is this machine's clock right?")
    if max(claims.iat, claims.nbf or 0) > moment + leeway:
        raise Untrue("the ID token is of the future; is this machine's clock right?")
    if claims.iat < moment - LONGEST_AGE.total_seconds():
        raise Untrue("the ID token is old")
