"""Which addresses reach a device: its IP filter (until AXIS OS 11), or its firewall (from 11.8 on).

Firewall rules are tried for a time: what is not confirmed goes away by itself, and so a mistake, a crash of ours or
a power cut never shuts us out. Source: developer.axis.com, Firewall configuration API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from farsite_edge.policies.access import DeviceAccess
from farsite_edge.policies.kind import Step
from farsite_edge.policies.security.facts import FILTER, Facts
from farsite_edge.vapix.device_config import CallConfig, GetConfig, PatchConfig, at

TEST_SECONDS = 300
_RULES = "conf.rules"


def covers(addresses: Iterable[str], own: str) -> bool:
    ip = ip_address(own.split("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return any((mapped or ip) in ip_network(one) for one in addresses)


def has_filter(facts: Facts) -> bool:
    return facts.param(f"{FILTER}.Enabled") is not None


def found(facts: Facts) -> list[str] | None:
    """The addresses let in now, sorted; `None`: everybody."""
    if has_filter(facts):
        on = facts.param(f"{FILTER}.Enabled") == "yes" and facts.param(f"{FILTER}.Input.Policy") == "allow"
        text = facts.param(f"{FILTER}.Input.AcceptAddresses") or ""
        return sorted(_normal(one) for one in text.split()[:500]) if on else None
    return firewall_lets_in(facts.firewall)


def firewall_lets_in(data: Any) -> list[str] | None:
    rules = at(data, _RULES)
    if at(data, "activated") not in (True, "true") or not isinstance(rules, dict):
        return None
    trying = rules.get("testTimeLeft") not in (0, None, "0")
    if rules.get("activeDefaultPolicy") != "DROP" or trying:
        return None
    active = rules.get("activeRules")
    let_in = [_let_in(rule) for rule in active[:500]] if isinstance(active, list) else []
    return sorted(one for one in let_in if one is not None)


def _let_in(rule: Any) -> str | None:
    if not isinstance(rule, dict) or at(rule, "filter.policy") != "ACCEPT":
        return None
    narrowed = any(rule.get(name) for name in ("tcpPort", "udpPort", "port", "portRange", "mac", "pktType"))
    return None if narrowed or not isinstance(rule.get("ip"), str) else _normal(rule["ip"])


def _normal(text: str) -> str:
    try:
        network = ip_network(text.strip()[:64], strict=False)
    except ValueError:
        return text[:64]
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


async def apply(access: DeviceAccess, step: Step) -> None:
    addresses = step.values["addresses"]
    async with access.client() as client:
        if step.values["way"] == "filter":
            values = {"Input.AcceptAddresses": " ".join(addresses), "Input.Policy": "allow", "Enabled": "yes"}
            await client.update_parameters({f"{FILTER}.{name}": value for name, value in values.items()})
        else:
            await _try_rules(client, step.values["way"], addresses)


async def _try_rules(client: Any, root: str, addresses: list[str]) -> None:
    data = await client.send(GetConfig(root))
    if at(data, "activated") not in (True, "true"):
        # Rules can be tried only while it is active: so it is activated with none that could shut anybody out.
        open_rules = {"rules": [], "fallbackTime": 0, "defaultPolicy": "ACCEPT"}
        await client.send(CallConfig(f"{root}/conf/setRules", open_rules))
        await client.send(PatchConfig(f"{root}/activated", True))
    rules = [{"ruleType": "FILTER", "ip": one, "filter": {"policy": "ACCEPT"}} for one in addresses]
    tried = {"rules": rules, "fallbackTime": TEST_SECONDS, "defaultPolicy": "DROP"}
    await client.send(CallConfig(f"{root}/conf/setRules", tried))


async def verify(access: DeviceAccess, step: Step) -> str | None:
    """A new log-in; only then are the firewall's rules confirmed."""
    async with access.client() as client:
        if step.values["way"] == "filter":
            return await _verify_filter(client, step)
        return await _confirm(client, step)


async def _verify_filter(client: Any, step: Step) -> str | None:
    now = await client.parameters(FILTER)
    facts = Facts("", "", secure=False, values={f"param:{name}": value for name, value in now.items()})
    return None if found(facts) == sorted(step.values["addresses"]) else "The IP filter reads back otherwise."


async def _confirm(client: Any, step: Step) -> str | None:
    root, wanted = step.values["way"], sorted(step.values["addresses"])
    data = await client.send(GetConfig(root))
    if at(data, f"{_RULES}.testTimeLeft") not in (0, None, "0"):
        await client.send(CallConfig(f"{root}/conf/confirmRules", {}))
        data = await client.send(GetConfig(root))
    return None if firewall_lets_in(data) == wanted else "The firewall reads back otherwise."


async def undo(access: DeviceAccess, step: Step) -> None:
    async with access.client() as client:
        if step.values["way"] == "filter":
            await client.update_parameters(step.before)
            return
        root = step.values["way"]
        before = {
            "rules": step.before["rules"],
            "fallbackTime": 0,
            "defaultPolicy": step.before["defaultPolicy"],
        }
        await client.send(CallConfig(f"{root}/conf/setRules", before))
        await client.send(PatchConfig(f"{root}/activated", step.before["activated"]))


def recovers(values: Mapping[str, Any]) -> float:
    """Seconds after which a step goes back by itself: rules on trial do."""
    on_trial = str(values.get("way", "")).startswith("/")
    return TEST_SECONDS * 1.1 if on_trial else 0.0


def step_for(facts: Facts, addresses: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values and what was before, of the step that lets in these addresses only."""
    if has_filter(facts):
        names = ("Enabled", "Input.Policy", "Input.AcceptAddresses")
        before = {f"{FILTER}.{name}": facts.param(f"{FILTER}.{name}") or "" for name in names}
        return {"way": "filter", "addresses": addresses}, before
    rules = at(facts.firewall, _RULES)
    known = rules if isinstance(rules, dict) else {}
    was: dict[str, Any] = {
        "rules": known.get("activeRules") or [],
        "defaultPolicy": known.get("activeDefaultPolicy") or "ACCEPT",
        "activated": at(facts.firewall, "activated") in (True, "true"),
    }
    return {"way": facts.paths["firewall"], "addresses": addresses}, was
