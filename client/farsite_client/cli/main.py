"""Entry point: one line for every error, and the exit codes scripts rely on.

0 done    1 failed    2 wrong usage    3 sign-in needed    130 interrupted
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from farsite_client.cli.lazy import LazyGroup, command_of
from farsite_client.cli.options import COMMAND, CaFile, Config, Home, Json, Proxy

FAILED = 1
SIGN_IN_NEEDED = 3
INTERRUPTED = 130


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"farsite {version('farsite')}")
        raise typer.Exit


def root(
    ctx: typer.Context,
    json: Json = False,
    home: Home = None,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    config: Config = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Manage network cameras on many sites from anywhere, on a cloud you host yourself."""
    ctx.ensure_object(dict)


def application() -> typer.Typer:
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    app = typer.Typer(
        cls=LazyGroup,
        name="farsite",
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings=settings,
    )
    app.callback()(root)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; nothing a user can cause ends in a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    given: dict[str, Any] = {}
    try:
        command = command_of(application(), "farsite")
        code = command(args=arguments, prog_name="farsite", obj=given, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except typer.Abort:
        typer.echo("Aborted!", err=True)
        sys.exit(FAILED)
    except TyperException as error:
        sys.exit(wrong_usage(error, as_json="--json" in arguments))
    except BrokenPipeError:
        sys.exit(_reader_left())
    except Exception as error:
        if os.environ.get("FARSITE_CLIENT_DEBUG"):
            raise
        sys.exit(report(error, given.get(COMMAND), as_json="--json" in arguments))


def wrong_usage(error: Any, *, as_json: bool) -> int:
    """Print what is wrong with what was typed, with the usage; returns the exit code."""
    from farsite_signaling.wire.errors import ErrorCode, FarsiteError
    from farsite_signaling.wire.refusals import plain

    error.message = plain(error.message)
    if error.message.startswith("Usage:"):  # a group alone: its help
        error.show()
    elif as_json:
        refused = FarsiteError(ErrorCode.INVALID_REQUEST, error.format_message())
        typer.echo(refused.problem().model_dump_json(exclude_none=True))
    else:
        error.message = f"{error.message.rstrip('.')} [{ErrorCode.INVALID_REQUEST}]"
        error.show()
    return int(error.exit_code)


def _reader_left() -> int:
    """Whoever read what we print had enough (`| head`): nothing to say, and nobody to say it to."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return FAILED


def report(error: Exception, command: Any = None, *, as_json: bool) -> int:
    """Print what went wrong, in the words of the command's options; returns the exit code."""
    from farsite_client.cli.failure import to_farsite_error
    from farsite_client.cli.wording import in_options
    from farsite_signaling.wire.errors import ErrorCode

    failure = in_options(to_farsite_error(error), command)
    if as_json:
        typer.echo(failure.problem().model_dump_json(exclude_none=True))
    else:
        typer.echo(f"error: {one_line(failure)}", err=True)
    if failure.code not in (ErrorCode.UNAUTHENTICATED, ErrorCode.TOKEN_EXPIRED):
        return FAILED
    if not as_json and "farsite login" not in failure.detail:
        typer.echo("Sign in with: farsite login", err=True)
    return SIGN_IN_NEEDED


def one_line(failure: Any) -> str:
    """Detail and code on one line, without control characters another machine may have sent."""
    text = " ".join(str(failure).split())
    return "".join(character if character.isprintable() else "�" for character in text)
