"""Options that several commands have, as one dataclass that each of them takes."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

Command = Callable[..., None]
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def spread(command: Command) -> Command:
    """In place of each parameter that is a dataclass stand its fields; the command gets it made of what was given.

    typer reads a command's signature, and knows nothing of parameters in groups: hence one of our own.
    """
    own = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: one.annotation
        for name, one in own.parameters.items()
        if dataclasses.is_dataclass(one.annotation)
    }

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in _fields(group)})
        command(**given)

    parameters: list[inspect.Parameter] = []
    for name, one in own.parameters.items():
        parameters += _options(groups[name]) if name in groups else [one.replace(kind=_KEYWORD)]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def _fields(group: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(group) if field.init]


def _options(group: Any) -> Iterator[inspect.Parameter]:
    kinds = get_type_hints(group, include_extras=True)
    for field in _fields(group):
        yield inspect.Parameter(field.name, _KEYWORD, default=field.default, annotation=kinds[field.name])
