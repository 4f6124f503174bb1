"""The device's side of a login: Digest and Basic challenges, and the delay against guessing; free of I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from farsite_edge.simulator.accounts import Account, Accounts

NONCE_SECONDS = 300.0
MAX_NONCES = 500
MAX_CALLERS = 1000
_PAIR = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass(frozen=True)
class Policy:
    """What the device's parameters say at the moment. `throttle` is None while guessing is not slowed down."""

    authentication: str
    qop: bool
    throttle: Throttle | None

    def scheme(self, *, secure: bool) -> str:
        if self.authentication == "basic" or (self.authentication == "recommended" and secure):
            return "basic"
        return "digest"


@dataclass(frozen=True)
class Throttle:
    failures: int  # within
    interval: float  # seconds, then the caller is refused for
    blocking: float  # seconds


class Gatekeeper:
    """`now` gives seconds that only grow."""

    def __init__(
        self, serial: str, accounts: Accounts, policy: Callable[[], Policy], now: Callable[[], float]
    ) -> None:
        self.realm = f"AXIS_{serial}"
        self.refusals = 0  # logins with a wrong name or password
        self._accounts = accounts
        self._policy = policy
        self._now = now
        self._nonces: OrderedDict[str, float] = OrderedDict()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._blocked: dict[str, float] = {}

    def challenge(self, *, secure: bool, stale: bool = False) -> str:
        policy = self._policy()
        if policy.scheme(secure=secure) == "basic":
            return f'Basic realm="{self.realm}"'
        fields = [f'realm="{self.realm}"', f'nonce="{self._new_nonce()}"', "algorithm=MD5"]
        fields += ['qop="auth"'] if policy.qop else []
        fields += ["stale=true"] if stale else []
        return "Digest " + ", ".join(fields)

    def admit(
        self, header: str | None, method: str, target: str, caller: str, *, secure: bool
    ) -> Account | str:
        """The account a request comes from, or the challenge to answer it with."""
        if not header or self._is_blocked(caller):
            return self.challenge(secure=secure)
        scheme, _, rest = header.partition(" ")
        if scheme.lower() != self._policy().scheme(secure=secure):
            return self.challenge(secure=secure)
        if scheme.lower() == "basic":
            return self._basic(rest) or self._refuse(caller, secure)
        return self._digest(rest, method, target, caller, secure)

    def forget(self) -> None:
        """A restart: old nonces are stale."""
        self._nonces.clear()

    def _basic(self, encoded: str) -> Account | None:
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return None
        account = self._accounts.get(name)
        matches = account is not None and hmac.compare_digest(account.password.encode(), password.encode())
        return account if matches else None

    def _digest(self, text: str, method: str, target: str, caller: str, secure: bool) -> Account | str:
        fields = {
            match[1].lower(): match[2] if match[2] is not None else match[3] for match in _PAIR.finditer(text)
        }
        account = self._accounts.get(fields.get("username", ""))
        if account is None or fields.get("uri") != target or not self._right(account, fields, method):
            return self._refuse(caller, secure)
        if self._now() - self._nonces.get(fields["nonce"], -NONCE_SECONDS) >= NONCE_SECONDS:
            return self.challenge(secure=secure, stale=True)
        return account

    def _right(self, account: Account, fields: dict[str, str], method: str) -> bool:
        ha1 = _md5(f"{account.name}:{self.realm}:{account.password}")
        ha2 = _md5(f"{method}:{fields.get('uri')}")
        if self._policy().qop and fields.get("qop") != "auth":
            return False
        middle = [fields.get(name, "") for name in ("nc", "cnonce", "qop")] if "qop" in fields else []
        expected = _md5(":".join([ha1, fields.get("nonce", ""), *middle, ha2]))
        return hmac.compare_digest(expected, fields.get("response", ""))

    def _refuse(self, caller: str, secure: bool) -> str:
        self.refusals += 1
        self._note_failure(caller)
        return self.challenge(secure=secure)

    def _note_failure(self, caller: str) -> None:
        throttle = self._policy().throttle
        if throttle is None:
            return
        failures = self._failures.setdefault(caller, deque(maxlen=throttle.failures))
        failures.append(self._now())
        if len(failures) == throttle.failures and self._now() - failures[0] <= throttle.interval:
            self._blocked[caller] = self._now() + throttle.blocking
        while len(self._failures) > MAX_CALLERS:
            self._blocked.pop(self._failures.popitem(last=False)[0], None)

    def _is_blocked(self, caller: str) -> bool:
        return self._blocked.get(caller, 0.0) > self._now()

    def _new_nonce(self) -> str:
        nonce = secrets.token_hex(16)
        self._nonces[nonce] = self._now()
        while len(self._nonces) > MAX_NONCES:
            self._nonces.popitem(last=False)
        return nonce


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
