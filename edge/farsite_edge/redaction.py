"""Takes secrets out of text: known ones by their value, others by how they are written."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping

HIDDEN = "***"
SHORTEST = 4
"""Shorter known secrets are in every text: they are recognised by where they stand alone."""
_NAMES = (
    r"[\w-]*(?:passw(?:or)?d|pwd|passphrase|secret|token|api[_-]?key|authorization|cookie|credential)[\w-]*"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
        HIDDEN,
    ),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@'\"]{1,400}@", re.I), rf"\1{HIDDEN}@"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), HIDDEN),
    (re.compile(r"\b(Basic|Bearer)\s+[\w+/=.~-]{8,}", re.I), rf"\1 {HIDDEN}"),
    (re.compile(r"\bDigest\s+username\s*=[^\r\n]*", re.I), f"Digest {HIDDEN}"),
    (re.compile(rf"(\b{_NAMES}['\"]?\s*[:=]\s*)(['\"])(?:\\.|(?!\2).)*\2", re.I), rf"\1\2{HIDDEN}\2"),
    (re.compile(rf"(\b{_NAMES}\s*[:=]\s*)[^\s,;&'\"\]}}){{\[]+", re.I), rf"\1{HIDDEN}"),
)


class Redactor:
    """`secrets`: known values; `names`: texts that become others, as addresses do in an anonymous bundle."""

    def __init__(self, secrets: Iterable[str] = (), names: Mapping[str, str] | None = None) -> None:
        known = {secret: HIDDEN for secret in secrets if len(secret) >= SHORTEST}
        self._names = known | dict(names or {})
        # The longest first: an address may begin with another one.
        every = sorted(self._names, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, every))) if every else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(lambda found: self._names[found[0]], text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


class RedactingFormatter(logging.Formatter):
    """What libraries and exceptions say is not ours: it is looked at last, the traceback included. What devices say
    does not move the cursor or begin a line of its own."""

    _redact = Redactor()

    def format(self, record: logging.LogRecord) -> str:
        text = self._redact(super().format(record))
        return "".join(one if one.isprintable() or one == "\n" else _escaped(one) for one in text)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
