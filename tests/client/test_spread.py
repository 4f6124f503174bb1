"""Commands whose options are a dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from farsite_client.cli.spread import spread


@dataclass(frozen=True)
class Place:
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...")] = None
    depth: Annotated[int, typer.Option("--deep", min=1)] = 3
    kind: str = field(default="folder", init=False)

    def __post_init__(self) -> None:
        if self.names == ["nowhere"]:
            raise typer.BadParameter("a place is needed", param_hint="NAME")


@dataclass
class Terms:
    wait: bool = False


@spread
def go(first: str, place: Place, loud: bool = False, *, terms: Terms) -> None:
    """Go there."""
    typer.echo(f"{first} {place.names} {place.depth} {place.kind} {loud} {terms.wait}")


def run(*words: str) -> tuple[int, str]:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(go)
    ran = CliRunner().invoke(app, list(words))
    return ran.exit_code, ran.output.strip()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a"], "a None 3 folder False False"),
        (["a", "b", "c", "--deep", "5", "--loud", "--wait"], "a ['b', 'c'] 5 folder True True"),
    ],
)
def test_fields_are_options_where_the_parameter_stood(words: list[str], said: str) -> None:
    assert run(*words) == (0, said)


def test_what_they_refuse_is_wrong_usage() -> None:
    for words in (["a", "nowhere"], ["a", "--deep", "0"], ["a", "--kind", "x"]):
        code, said = run(*words)
        assert code == 2 and "Usage:" in said, words
    assert "Go there." in run("--help")[1]
