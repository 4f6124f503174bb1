"""What cannot be taken back is asked for once more."""

from __future__ import annotations

from typing import Annotated

import typer

Risk = Annotated[
    bool, typer.Option("--yes", "--i-am-aware-of-the-risks", help="Aware of the risks: do not ask.")
]


def confirm_risk(question: str, aware: bool) -> None:
    """Ask after reading: what somebody else changes while the question is thought about stops what was asked."""
    if not aware:
        typer.confirm(f"{question} I am aware of the risks", abort=True, err=True)
