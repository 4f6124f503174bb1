"""What the demo did, step by step, for people as it happens and for programs at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape


@dataclass
class Step:
    name: str
    ms: float = 0.0
    note: str = ""


@dataclass
class Report:
    """Steps with their times; `quiet` prints nothing, for `--json`."""

    console: Console
    quiet: bool = False
    steps: list[Step] = field(default_factory=list)
    path: str = "none"
    reason: str = ""
    throughput: dict[str, float] = field(default_factory=dict)
    error: dict[str, Any] | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Times what runs inside; set `note` on the step to say what came out."""
        step = Step(name)
        started = time.monotonic()
        try:
            with self._waiting(name):
                yield step
        except BaseException:
            self._show(step, started, "[red]✗[/]")
            raise
        self._show(step, started, "[green]✓[/]")
        self.steps.append(step)

    def _waiting(self, name: str) -> AbstractContextManager[object]:
        """On a terminal, a step is seen while it runs."""
        if self.quiet or not self.console.is_terminal:
            return nullcontext()
        return self.console.status(f"{name} …")

    def _show(self, step: Step, started: float, mark: str) -> None:
        step.ms = round((time.monotonic() - started) * 1000, 1)
        if not self.quiet:
            note = f"  [dim]{escape(step.note)}[/]" if step.note else ""
            self.console.print(f" {mark} {step.name:<34} {step.ms:>8.0f} ms{note}", highlight=False)

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, highlight=False)

    def result(self) -> dict[str, Any]:
        """The object `--json` prints."""
        answer: dict[str, Any] = {
            "ok": self.error is None,
            "path": self.path,
            "reason": self.reason,
            "steps": [{"name": step.name, "ms": step.ms, "note": step.note} for step in self.steps],
            "throughput_mbit": self.throughput,
        }
        if self.error is not None:
            answer["error"] = self.error
        return answer
