"""Values many devices share, with those of one device over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Defaults:
    """Values by full name (`root.…`), shared by every device of a model; nobody changes them."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values = dict(values or {})
        self.names = {name.lower(): name for name in self.values}


class Overlay:
    """Values of one device over those it shares; in the order of these, its own after them."""

    def __init__(self, defaults: Defaults, own: Mapping[str, str]) -> None:
        self._defaults = defaults
        self._own = dict(own)

    def __getitem__(self, name: str) -> str:
        own = self._own.get(name)
        return self._defaults.values[name] if own is None else own

    def __setitem__(self, name: str, value: str) -> None:
        self._own[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._own or name in self._defaults.values

    def __iter__(self) -> Iterator[str]:
        yield from self._defaults.values
        yield from (name for name in self._own if name not in self._defaults.values)

    def __len__(self) -> int:
        return len(self._defaults.values) + sum(name not in self._defaults.values for name in self._own)

    def named(self, name: str) -> str | None:
        """The full name as it is written, for one in any case."""
        found = self._defaults.names.get(name.lower())
        return found or next((one for one in self._own if one.lower() == name.lower()), None)

    def copy(self) -> Overlay:
        return Overlay(self._defaults, self._own)
