"""Groups without a command: what people expect of `farsite users`."""

from __future__ import annotations

from typing import Any

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from farsite_client.cli.lazy import load_own
from farsite_client.cli.listing import Listing, listing
from farsite_client.cli.table import OWN


def group(**settings: Any) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None, **settings)

    @app.command("list")
    def list_(unread: bool = False, limit: int = 9, json: bool = False) -> None:
        typer.echo(f"list {unread} {limit} {json}")

    @app.command("show")
    def show(name: str) -> None:
        typer.echo(f"show {name}")

    return app


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ([], "list False 9 False"),
        (["--unread"], "list True 9 False"),
        (["--limit", "5", "--unread"], "list True 5 False"),
        (["list", "--json"], "list False 9 True"),
        (["show", "list"], "show list"),
    ],
)
def test_what_names_no_command_is_the_list(arguments: list[str], out: str) -> None:
    ran = CliRunner().invoke(group(cls=Listing), arguments)
    assert (ran.exit_code, ran.output.strip()) == (0, out)


@pytest.mark.parametrize(
    ("arguments", "said"), [(["shwo"], "show"), (["--frist"], "--frist"), (["list", "x"], "x")]
)
def test_a_mistake_is_wrong_usage_still(arguments: list[str], said: str) -> None:
    ran = CliRunner().invoke(group(cls=Listing), arguments)
    assert ran.exit_code == 2 and said in ran.output


def test_the_help_is_the_groups_and_says_what_happens_without_a_command() -> None:
    ran = CliRunner().invoke(group(cls=Listing), ["--help"])
    assert ran.exit_code == 0 and "show" in ran.output and "Without a command: list." in ran.output


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        (["Shop"], 0, "Shop list False 9 False"),
        (["Shop", "--unread"], 0, "Shop list True 9 False"),
        (["Shop", "show", "x"], 0, "Shop show x"),
        ([], 2, "Usage: "),
    ],
)
def test_a_group_of_an_edge_host_lists_of_it(arguments: list[str], code: int, out: str) -> None:
    app = group(cls=listing("list"), no_args_is_help=True)

    @app.callback()
    def of(edge: str) -> None:
        typer.echo(f"{edge} ", nl=False)

    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == code and out in ran.output


def _groups(command: Any, name: str) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    here = [(name, command)] if children else []
    return here + [found for child in children for found in _groups(children[child], f"{name} {child}")]


ALL = [found for name in OWN if name != "demo" for found in _groups(load_own(name), name)]


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_every_group_that_can_list_does(name: str, command: Any) -> None:
    """The list of what needs no further name; a group of an edge host needs that one only."""
    if isinstance(command, Listing):
        default = command.commands[command.default]
        assert not [one.name for one in default.params if one.required], f"farsite {name}"
    elif (inner := command.commands.get("list")) is not None:
        assert [one for one in inner.params if one.required], f"'farsite {name}' can list"
