"""A command group whose commands are imported when they are called."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer
import typer.core
import typer.main

from farsite_client.cli.names import understand_names
from farsite_client.cli.options import COMMAND, add_common_options
from farsite_client.cli.table import KNOWN_HELP, OWN, installed

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class LazyGroup(typer.core.TyperGroup):
    """Lists stubs with one line of help each; the real command replaces its stub when it is resolved."""

    @functools.cached_property
    def _points(self) -> Mapping[str, EntryPoint]:
        """Every package that is installed is asked for them: not for a command of our own."""
        return installed()

    def list_commands(self, ctx: Any) -> list[str]:
        return [*OWN, *self._points]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in OWN:
            return _stub(cmd_name, OWN[cmd_name][1])
        if cmd_name not in self._points:
            return None
        if help := KNOWN_HELP.get(cmd_name):
            return _stub(cmd_name, help)
        return self._load(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in OWN:
            # Names for the suggestions after a typing error.
            self.commands: dict[str, Any] = dict.fromkeys(self.list_commands(ctx))
        name, command, rest = super().resolve_command(ctx, _meant(args))
        command = command and self._load(name or "")
        return name, command, _passed_on(ctx, command, name or "", rest)

    def _load(self, name: str) -> Any:
        if name in OWN:
            return load_own(name)
        return command_of(self._points[name].load(), name)


def _meant(args: list[str]) -> list[str]:
    """`devices assign EDGE …` is `device assign EDGE …`; an edge host called assign still lists its devices."""
    many = args[:2] == ["devices", "assign"] and len(args) > 2 and not args[2].startswith("-")
    return ["device", *args[1:]] if many else args


def _passed_on(ctx: Any, command: Any, name: str, rest: list[str]) -> list[str]:
    """The arguments of a part's command, `--json` and `--config` before its name among them.

    Our own commands find what stood before them in the context. Raises a usage error for what a part has no use for.
    """
    if command is None or _takes_common_options(name):
        return rest
    given = {name: value for name, value in (ctx.obj or {}).items() if name != COMMAND}
    passed = (["--json"] if given.pop("json", None) and "--json" not in rest else []) + (
        ["--config", config] if (config := given.pop("config", None)) else []
    )
    if given:
        flag = f"--{next(iter(given)).replace('_', '-')}"
        raise typer.BadParameter(f"it means nothing to 'farsite {name}'; see its --help.", param_hint=flag)
    # Behind a group's command, whose options they are.
    return [*rest, *passed] if rest or not hasattr(command, "commands") else rest


def _takes_common_options(name: str) -> bool:
    return name in OWN and not OWN[name][0].startswith("farsite_client.demo")


def load_own(name: str) -> Any:
    module, _, attribute = OWN[name][0].partition(":")
    command = command_of(getattr(importlib.import_module(module), attribute), name)
    if _takes_common_options(name):
        add_common_options(command)
        understand_names(command)
    return command


def command_of(app: typer.Typer, name: str) -> Any:
    command = typer.main.get_command(app)
    command.name = name
    _make_alike(command)
    return command


def _make_alike(command: Any) -> None:
    """Plain help everywhere, completion offered once: by `farsite` itself."""
    command.rich_markup_mode = None
    if command.name != "farsite":
        own = ("install_completion", "show_completion")
        command.params = [parameter for parameter in command.params if parameter.name not in own]
        for child in getattr(command, "commands", {}).values():
            _make_alike(child)


def _stub(name: str, help: str) -> Any:
    return typer.core.TyperCommand(name, callback=None, help=help, rich_markup_mode=None)
