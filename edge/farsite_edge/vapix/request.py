"""A request to a device and how its answer is read: one class per CGI call, free of I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar
from urllib.parse import urlencode

from farsite_edge.vapix.text import decode

T = TypeVar("T")

KIB = 1024
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Answer:
    """What came back: complete, at most `ApiRequest.limit` bytes. Header names are lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return decode(self.body)


class ApiRequest(ABC, Generic[T]):
    """Builds one HTTP request and parses its answer.

    `parse` raises nothing but `FarsiteError`, whatever the bytes are.
    """

    path: ClassVar[str]
    method: ClassVar[str] = "POST"
    content_type: ClassVar[str | None] = None
    anonymous: ClassVar[bool] = False  # credentials are never sent with it
    limit: ClassVar[int] = 256 * KIB
    accepts: ClassVar[frozenset[int]] = frozenset({200})
    """HTTP statuses `parse` understands; others are errors before it."""

    def query(self) -> dict[str, str]:
        return {}

    def body(self) -> bytes | None:
        return None

    def length(self) -> int | None:
        """Bytes of a body that is streamed; then `stream` gives it, anew for each call."""
        return None

    def stream(self) -> AsyncIterable[bytes]:
        raise NotImplementedError

    @abstractmethod
    def parse(self, answer: Answer) -> T: ...


def form(fields: Mapping[str, str]) -> bytes:
    """A form body: secrets belong there, as URLs end in logs."""
    return urlencode(fields).encode("ascii")
