"""The settings of a basic security policy: their form, the recommended ones, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator

from farsite_edge.vapix.users import check_password
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.refusals import plain

MAX_ADDRESSES = 100
LENGTH, COMPLEX = 15, 12
"""Least characters of a password with the policies `length` and `complex` (AXIS OS 12)."""
Switch = StrictBool | None


class Syslog(BaseModel):
    model_config = ConfigDict(extra="forbid")

    address: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")
    port: int = Field(default=6514, ge=1, le=65535)
    protocol: Literal["UDP", "TCP", "TLS"] = "TLS"


class SecuritySettings(BaseModel):
    """`None`, or left out: that setting is not looked at. Switches say whether the thing is on."""

    model_config = ConfigDict(extra="forbid")

    root_password: StrictBool | None = None
    password_policy: Literal["none", "length", "complex"] | None = None
    access_log: Switch = None
    syslog: Syslog | None = None
    ssh: Switch = None
    ftp: Switch = None
    upnp: Switch = None
    upnp_nat_traversal: Switch = None
    bonjour: Switch = None
    ws_discovery: Switch = None
    link_local: Switch = None
    lldp: Switch = None
    cloud_connection: Literal["no", "oneclick", "yes"] | None = None
    snmp: Literal["off", "v3"] | None = None
    web_interface: Switch = None
    anonymous_viewers: Switch = None
    rtsp: Switch = None
    rtsps: Switch = None
    audio: Switch = None
    sd_card: Switch = None
    unsigned_apps: Switch = None
    signed_video: Switch = None
    replay_protection: Switch = None
    brute_force_protection: Switch = None
    brute_force_block_seconds: int | None = Field(default=None, ge=1, le=1000)
    https: Switch = None
    minimum_tls: Literal["1.0", "1.1", "1.2"] | None = None
    strong_ciphers: Switch = None
    authentication: Literal["basic", "digest", "basic_digest", "recommended"] | None = None
    https_only: Switch = None
    allowed_addresses: list[str] | None = Field(default=None, min_length=1, max_length=MAX_ADDRESSES)

    @field_validator("allowed_addresses")
    @classmethod
    def _networks(cls, texts: list[str] | None) -> list[str] | None:
        if texts is None:
            return None
        return list(dict.fromkeys(_network(text) for text in texts))


RECOMMENDED: dict[str, Any] = {
    "password_policy": "length",
    "access_log": True,
    "ssh": False,
    "ftp": False,
    "upnp": False,
    "upnp_nat_traversal": False,
    "ws_discovery": False,
    "link_local": False,
    "cloud_connection": "no",
    "snmp": "v3",
    "anonymous_viewers": False,
    "rtsps": True,
    "unsigned_apps": False,
    "replay_protection": True,
    "brute_force_protection": True,
    "brute_force_block_seconds": 10,
    "https": True,
    "minimum_tls": "1.2",
    "strong_ciphers": True,
    "authentication": "recommended",
}
"""Everything that closes a door nobody should use. What a video system or our own discovery may need is left alone:
HTTPS only, Bonjour, LLDP, RTSP, the web interface, address filter."""


def validated(settings: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """In normal form, without what is left alone. Raises `invalid_request` naming each setting that is wrong."""
    try:
        checked = SecuritySettings.model_validate(dict(settings))
    except ValidationError as error:
        raise _invalid(_problems(error)) from None
    problems = list(_contradictions(checked, secrets))
    if problems:
        raise _invalid(problems)
    values = checked.model_dump(exclude_none=True)
    if values.get("root_password") is False:
        del values["root_password"]
    if not values:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "The policy has no settings. Give at least one.")
    return values


def _contradictions(one: SecuritySettings, secrets: Mapping[str, str]) -> Any:
    if one.https_only and one.https is False:
        yield "https_only", "HTTPS cannot be the only way in while it is switched off"
    if one.https is False and (one.strong_ciphers or one.minimum_tls):
        yield "https", "what TLS has to be like makes no sense while HTTPS is switched off"
    if one.brute_force_protection is False and one.brute_force_block_seconds is not None:
        yield "brute_force_block_seconds", "nobody is blocked while the protection is switched off"
    if one.rtsp is False and one.rtsps:
        yield "rtsps", "RTSP over TLS needs RTSP, which is to be switched off"
    if one.authentication == "basic" and one.https_only is not True:
        yield "authentication", "basic shows passwords to everyone on the way unless HTTPS is the only way in"
    if one.upnp is False and one.upnp_nat_traversal:
        yield "upnp_nat_traversal", "it needs UPnP, which is to be switched off"
    if one.root_password and (secret := secrets.get("root_password")) is not None:
        yield from _password_problems(secret, one.password_policy)


def _password_problems(secret: str, policy: str | None) -> Any:
    try:
        check_password(secret)
    except FarsiteError as error:
        yield "root_password", error.detail
        return
    if policy == "length" and len(secret) < LENGTH:
        yield "root_password", f"it is shorter than the {LENGTH} characters password_policy length asks for"
    kinds = (str.isupper, str.islower, str.isdigit, lambda letter: not letter.isalnum())
    complex_enough = len(secret) >= COMPLEX and all(any(kind(letter) for letter in secret) for kind in kinds)
    if policy == "complex" and not complex_enough:
        yield (
            "root_password",
            f"password_policy complex asks for {COMPLEX} characters with upper and lower case, a digit and a sign",
        )


def _network(text: str) -> str:
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no address or subnet") from None
    if network.prefixlen == 0:
        raise ValueError(f"{network} is everybody: leave the list out instead")
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


def _problems(error: ValidationError) -> list[tuple[str, str]]:
    known = set(SecuritySettings.model_fields)
    found: list[tuple[str, str]] = []
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        name = ".".join(str(part) for part in item["loc"])
        unknown = item["type"] == "extra_forbidden" and str(item["loc"][0]) not in known
        message = "there is no such setting" if unknown else plain(item["msg"])
        found.append((name, message))
    return found


def _invalid(problems: list[tuple[str, str]]) -> FarsiteError:
    text = "; ".join(f"{name}: {message}" for name, message in problems)
    errors = [{"field": f"settings.{name}", "message": message} for name, message in problems]
    return FarsiteError(ErrorCode.INVALID_REQUEST, f"The settings make no sense: {text}.", errors=errors)
