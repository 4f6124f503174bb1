"""Groups that list when no command is named, as `git branch` does."""

from __future__ import annotations

from typing import Any

import typer.core


class Listing(typer.core.TyperGroup):
    """`farsite notices --unread` is `farsite notices list --unread`, `farsite tasks EDGE` `farsite tasks EDGE list`."""

    default = "list"

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.epilog = f"Without a command: {self.default}."

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """A group that wants an argument of its own (an edge host) shows its help without one."""
        return super().parse_args(ctx, args if ctx.resilient_parsing else self._named(ctx, args))

    def _named(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments with a command among them."""
        if not args and self.no_args_is_help:
            return args
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        _, rest, _ = parser.parse_args(list(args))
        asked_for_help = any(name in args for name in ctx.help_option_names)
        if asked_for_help or (rest and not rest[0].startswith("-")):
            return args
        # What the group does not know itself is the list's.
        own = len(args) - len(rest)
        return [*args[:own], self.default, *rest] if args[own:] == rest else [self.default, *args]


def listing(command: str) -> type[Listing]:
    """Of a group whose list is called otherwise."""
    return type("Listing", (Listing,), {"default": command})
