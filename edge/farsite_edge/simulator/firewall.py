"""A device's firewall: rules on trial that go away by themselves unless confirmed; free of I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Rules = list[dict[str, Any]]


class Invalid(Exception):
    """An error of a REST API."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class _Set:
    rules: Rules = field(default_factory=list)
    policy: str = "ACCEPT"


@dataclass
class Firewall:
    activated: bool = False
    confirmed: _Set = field(default_factory=_Set)
    tried: _Set | None = None
    until: float = 0.0

    def active(self, now: float) -> _Set:
        return self.tried if self.tried is not None and now < self.until else self.confirmed

    def set_rules(self, data: Any, now: float) -> None:
        """Raises `Invalid`."""
        new = _checked(data)
        seconds = data.get("fallbackTime", 300)
        if not seconds:
            self.confirmed, self.tried = new, None
            return
        if not self.activated:
            raise Invalid(103, "Invalid request.")
        self.tried, self.until = new, now + seconds

    def confirm(self, now: float) -> None:
        if self.tried is None:
            raise Invalid(103, "Invalid request.")
        self.confirmed, self.tried = self.tried, None

    def clear(self) -> None:
        self.tried = None

    def lose_power(self) -> None:
        self.tried = None

    def lets_in(self, caller: str, now: float) -> bool:
        active = self.active(now)
        if not self.activated:
            return True
        for rule in active.rules:
            if "ip" in rule and ip_address(caller) in ip_network(rule["ip"], strict=False):
                return bool(rule["filter"]["policy"] == "ACCEPT")
        return active.policy == "ACCEPT"

    def shown(self, now: float) -> dict[str, Any]:
        trying = self.tried is not None and now < self.until
        active = self.active(now)
        rules = {
            "activeRules": active.rules,
            "activeDefaultPolicy": active.policy,
            "pendingRules": self.tried.rules if self.tried is not None else [],
            "pendingDefaultPolicy": self.tried.policy if self.tried is not None else None,
            "testTimeLeft": max(1, int(self.until - now)) if trying else 0,
        }
        return {"activated": self.activated, "conf": {"rules": rules}}


def _checked(data: Any) -> _Set:
    if not isinstance(data, dict) or data.get("defaultPolicy") not in ("ACCEPT", "DROP"):
        raise Invalid(103, "Invalid request.")
    rules = data.get("rules")
    if not isinstance(rules, list) or not all(isinstance(rule, dict) and "filter" in rule for rule in rules):
        raise Invalid(103, "Invalid request.")
    for rule in rules:
        try:
            ip_network(rule.get("ip", "0.0.0.0/0"), strict=False)
        except ValueError:
            raise Invalid(100, "Invalid IP address") from None
    return _Set(rules, data["defaultPolicy"])
