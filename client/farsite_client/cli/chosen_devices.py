"""Which devices of an edge host a command is about: those named, or all that fit."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from farsite_client.edge import EdgeClient
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Command = Callable[..., None]
Texts = list[str] | None
Ids = Annotated[Texts, typer.Argument(metavar="DEVICE...", help="Serial numbers.")]
All = Annotated[bool, typer.Option("--all", help="All, instead of naming them.")]
Model = Annotated[Texts, typer.Option("--model", help="All of a model; may be repeated.")]
Tag = Annotated[Texts, typer.Option("--tag", help="All with a tag; may be repeated.")]
Status = Annotated[Texts, typer.Option("--status", "--state", help="All in a state; may be repeated.")]
_OPTIONS: dict[str, tuple[Any, object]] = {
    "everything": (All, False),
    "models": (Model, None),
    "tags": (Tag, None),
    "states": (Status, None),
}


@dataclass(frozen=True)
class Chosen:
    """Either `ids`, or what devices have to fit: all of it. `managed` tells among which they are looked for."""

    ids: list[str]
    everything: bool = False
    models: Texts = None
    tags: Texts = None
    states: Texts = None
    managed: bool = True

    def check(self) -> None:
        """Raises a usage error unless it is one of the two, so that no other is meant."""
        if bool(self.ids) is (self.everything or self._fitting):
            detail = "name devices, or say which are meant by --all, --model, --tag and --status"
            raise typer.BadParameter(detail, param_hint="DEVICE")

    @property
    def _fitting(self) -> bool:
        return bool(self.models or self.tags or self.states)

    async def of(self, client: EdgeClient) -> list[str]:
        """Their ids, in the order of the edge host. Raises `not_found` when there is none."""
        if self.ids:
            return self.ids
        devices = await client.devices(managed=self.managed)
        found = [one.id for one in devices if self._fits(one.model, one.tags, one.state)]
        if not found:
            kind = "managed" if self.managed else "discovered"
            raise FarsiteError(ErrorCode.NOT_FOUND, f"No {kind} device is meant.")
        return found

    def _fits(self, model: str, tags: list[str], state: str) -> bool:
        wanted = ((self.models, [model]), (self.tags, tags), (self.states, [state]))
        return all(not any_of or bool(_plain(any_of) & _plain(has)) for any_of, has in wanted)


def _plain(texts: Sequence[str]) -> set[str]:
    return {text.casefold() for text in texts}


def takes_devices(*, managed: bool = True) -> Callable[[Command], Command]:
    """The command's parameter `chosen` becomes serial numbers, and options that stand for them."""

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def run(**given: Any) -> None:
            options = {name: given.pop(name) for name in _OPTIONS}
            chosen = Chosen(given.pop("ids") or [], **options, managed=managed)
            chosen.check()
            command(**given, chosen=chosen)

        parameters = [_ids() if one.name == "chosen" else _keyword(one) for one in own.parameters.values()]
        parameters += [_option(name, kind, default) for name, (kind, default) in _OPTIONS.items()]
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _ids() -> inspect.Parameter:
    return _option("ids", Ids, None)


def _option(name: str, kind: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _keyword(one: inspect.Parameter) -> inspect.Parameter:
    return one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
