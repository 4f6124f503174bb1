"""Which devices of an edge host a command is about: those named, or all that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer

from farsite_client.edge import EdgeClient
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Texts = list[str] | None
Ids = Annotated[Texts, typer.Argument(metavar="DEVICE...", help="Serial numbers.")]
All = Annotated[bool, typer.Option("--all", help="All, instead of naming them.")]
Model = Annotated[Texts, typer.Option("--model", help="All of a model; may be repeated.")]
Tag = Annotated[Texts, typer.Option("--tag", help="All with a tag; may be repeated.")]
Status = Annotated[Texts, typer.Option("--status", "--state", help="All in a state; may be repeated.")]


@dataclass(frozen=True)
class Chosen:
    """Either `ids`, or what devices have to fit: all of it. `managed` tells among which they are looked for.

    Raises a usage error unless it is one of the two, so that no other is meant.
    """

    ids: Ids = None
    everything: All = False
    models: Model = None
    tags: Tag = None
    states: Status = None
    managed: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
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


@dataclass(frozen=True)
class Discovered(Chosen):
    """Of those that are not managed yet."""

    managed: bool = field(default=False, init=False)
