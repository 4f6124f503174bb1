"""Compares a device with the settings of a basic security policy; free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from farsite_edge.policies.kind import Finding, Wanted
from farsite_edge.policies.security import address_filter, password
from farsite_edge.policies.security.catalogue import CATALOGUE, Entry
from farsite_edge.policies.security.facts import AUTHENTICATION, BLOCK_SECONDS, CIPHERS, SYSLOG, Facts
from farsite_signaling.wire.policy_api import PolicyState

NO_SUCH = "The device's firmware has no such setting."
MAX_SHOWN = 300
GOOD, OFF, NONE, NEVER = (
    PolicyState.COMPLIANT,
    PolicyState.DEVIATING,
    PolicyState.NOT_SUPPORTED,
    PolicyState.FAILED,
)


def compare(wanted: Wanted, facts: Facts) -> list[Finding]:
    return [_finding(name, value, wanted, facts) for name, value in wanted.settings.items()]


def _finding(name: str, value: Any, wanted: Wanted, facts: Facts) -> Finding:
    entry = CATALOGUE[name]
    special = _SPECIAL.get(name)
    state, want, found, detail = special(value, facts) if special else _places(entry, value, facts)
    if state is OFF and (danger := shuts_out(name, value, facts)):
        state, detail = NEVER, danger
    return Finding(name, state, want[:MAX_SHOWN], found[:MAX_SHOWN], detail, entry.weight)


Compared = tuple[PolicyState, str, str, str]


def targets(entry: Entry, value: Any, facts: Facts) -> dict[str, str]:
    """What has to be at which place, of those the device has."""
    wanted = dict(entry.wanted(_offered(entry.name, value, facts)))
    found: dict[str, str] = {}
    for place, text in wanted.items():
        if place.startswith("param:"):
            found |= dict.fromkeys(facts.params(place.removeprefix("param:")), text)
        elif place in facts.values:
            found[place] = text
    return found


def _offered(name: str, value: Any, facts: Facts) -> Any:
    """`recommended` came with AXIS OS 10 or later: where it is no choice, `digest` is as good."""
    if name != "authentication" or value != "recommended":
        return value
    definition = facts.definitions.get(AUTHENTICATION)
    known = definition.choices if definition is not None else ()
    return "digest" if known and "recommended" not in known else value


def _places(entry: Entry, value: Any, facts: Facts) -> Compared:
    wanted = targets(entry, value, facts)
    shown = _word(_offered(entry.name, value, facts))
    if not wanted:
        return NONE, shown, "", NO_SUCH
    off = {place: facts.values[place] for place, text in wanted.items() if facts.values[place] != text}
    if not off:
        return GOOD, shown, shown, ""
    found = ", ".join(f"{place.partition(':')[2]}={text}" for place, text in off.items())
    return OFF, shown, found, ""


def _word(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _root_password(_value: Any, facts: Facts) -> Compared:
    if facts.root == password.ABSENT:
        return NONE, "the policy's", "", "The device has no account called root."
    if facts.root == password.APART:
        return OFF, "the policy's", "another of its ONVIF account, as far as is known", ""
    right = facts.root == password.RIGHT
    return (GOOD, "the policy's", "the policy's", "") if right else (OFF, "the policy's", "another", "")


def _block_seconds(value: Any, facts: Facts) -> Compared:
    found = facts.param(BLOCK_SECONDS)
    if found is None:
        return NONE, str(value), "", NO_SUCH
    # Longer protects as well.
    enough = found.isascii() and found.isdigit() and int(found[:9]) >= value
    return (GOOD if enough else OFF), str(value), found, ""


def strong(ciphers: str) -> list[str]:
    """ECDHE with AES-GCM or ChaCha20 (TLS 1.2 names of OpenSSL)."""
    return [
        name
        for name in ciphers.split(":")
        if name.startswith("ECDHE-") and ("-GCM-" in name or "CHACHA20" in name)
    ]


def _ciphers(value: Any, facts: Facts) -> Compared:
    found = facts.param(CIPHERS)
    if found is None:
        return NONE, _word(value), "", NO_SUCH
    if not value:
        return GOOD, "any", found, ""
    weak = [name for name in found.split(":") if name not in strong(found)]
    if not weak:
        return GOOD, "strong ones only", "strong ones only", ""
    if not strong(found):
        return NEVER, "strong ones only", found, "The device names no strong cipher that could be kept."
    return OFF, "strong ones only", f"weak: {':'.join(weak)}", ""


def _syslog(value: Any, facts: Facts) -> Compared:
    shown = f"{value['protocol']} {value['address']}:{value['port']}"
    found = syslog_found(facts)
    if found is None:
        return NONE, shown, "", NO_SUCH
    return (GOOD, shown, shown, "") if found == shown else (OFF, shown, found or "off", "")


def syslog_found(facts: Facts) -> str | None:
    """As `PROTOCOL ADDRESS:PORT`; empty when it is off, `None` when there is none."""
    enabled = facts.param(f"{SYSLOG}.Enabled")
    if enabled is None:
        return None
    one = {name: facts.param(f"{SYSLOG}.Server1.{name}") or "" for name in ("Address", "Port", "Protocol")}
    return f"{one['Protocol']} {one['Address']}:{one['Port']}" if enabled == "true" else ""


def _addresses(value: Any, facts: Facts) -> Compared:
    shown = ", ".join(sorted(value))
    if not address_filter.has_filter(facts) and facts.firewall is None:
        return NONE, shown, "", NO_SUCH
    found = address_filter.found(facts)
    if found == sorted(value):
        return GOOD, shown, shown, ""
    return OFF, shown, "everybody" if found is None else ", ".join(found) or "nobody", ""


_SPECIAL: Mapping[str, Any] = {
    "root_password": _root_password,
    "brute_force_block_seconds": _block_seconds,
    "strong_ciphers": _ciphers,
    "syslog": _syslog,
    "allowed_addresses": _addresses,
}


def shuts_out(name: str, value: Any, facts: Facts) -> str | None:
    """Why a setting is not touched on this device: it would take away the way we reach it."""
    match name:
        case "allowed_addresses" if not address_filter.covers(value, facts.own):
            return f"The list leaves out the edge host's own address {facts.own}: nothing was changed."
        case "https" if value is False and facts.secure:
            return "The edge host reaches the device over HTTPS: it is not switched off."
        case "link_local" if value is False and ip_address(facts.address.split("%")[0]).is_link_local:
            return f"The edge host reaches the device at {facts.address}, which would go away."
        case "authentication" if value == "basic" and not facts.secure:
            return "The edge host reaches the device over HTTP, where it sends no password in clear text."
        case "https_only" if value is True and not facts.param("HTTPS.Port"):
            return "The device does not tell its HTTPS port."
    return None
