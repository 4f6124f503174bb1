"""Which connection speaks for which name: the newest one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=Named)


class Registry(Generic[C]):
    def __init__(self) -> None:
        self._by_name: dict[str, C] = {}

    def add(self, connection: C) -> C | None:
        """The older connection of this name, which no longer counts."""
        older = self._by_name.get(connection.name)
        self._by_name[connection.name] = connection
        return older

    def remove(self, connection: C) -> bool:
        """False when a newer connection (or none) speaks for the name: then nothing changed."""
        if self._by_name.get(connection.name) is not connection:
            return False
        del self._by_name[connection.name]
        return True

    def get(self, name: str) -> C | None:
        return self._by_name.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[C]:
        return iter(list(self._by_name.values()))
