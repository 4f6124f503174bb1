"""What cannot be taken back is asked for once more."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from farsite_signaling.wire.errors import ErrorCode, FarsiteError

Risk = Annotated[
    bool, typer.Option("--yes", "--i-am-aware-of-the-risks", help="Aware of the risks: do not ask.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def confirm(question: str, yes: bool, words: str = "") -> None:
    """Ask after reading: what somebody else changes while the question is thought about stops what was asked.

    Raises `confirmation_needed` where nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise FarsiteError(ErrorCode.CONFIRMATION_NEEDED, f"{question} Say so with --yes.")
    typer.confirm(f"{question} {words}".rstrip(), abort=True, err=True)


def confirm_risk(question: str, aware: bool) -> None:
    confirm(question, aware, "I am aware of the risks")
