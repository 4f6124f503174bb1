"""What the documents promise: files that exist, commands and options that exist, an example that runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farsite_client.cli.lazy import command_of
from farsite_client.cli.main import application
from farsite_signaling.wire.errors import ErrorCode

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + list((ROOT / "docs").rglob("*.md"))
)
_BLOCK = re.compile(r"^```(?:console)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    links = [document.parent / link for link in re.findall(r"\]\((?!http)([^)#]+)", text)]
    paths = [ROOT / path for path in re.findall(r"`((?:tests|docs|turn-config|tools)/[\w./-]+)`", text)]
    assert [str(path) for path in links + paths if not path.exists()] == []


def commands(document: Path) -> Iterator[list[str]]:
    for block in _BLOCK.findall(document.read_text("utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.removeprefix("$ ")
            if line.startswith("farsite "):
                yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_commands_and_options_that_are_shown_exist(document: Path) -> None:
    for arguments in commands(document):
        parse(command_of(application(), "farsite"), arguments)


def parse(command: Any, arguments: list[str]) -> None:
    """Raises a usage error as the real run would; nothing is run."""
    context = command.make_context("farsite", list(arguments))
    if not hasattr(command, "resolve_command"):
        return
    rest = [*context._protected_args, *context.args]
    if not rest and command.invoke_without_command:
        return
    _, child, left = command.resolve_command(context, rest)
    parse(child, left)


def test_codes_in_the_guide_exist() -> None:
    table = (ROOT / "docs" / "guide.md").read_text("utf-8").partition("## 5.")[2].partition("\n## ")[0]
    named = {
        code
        for row in table.splitlines()
        for code in re.findall(r"`([a-z_]+)`", row.split("|")[1] if "|" in row else "")
    }
    assert len(named) > 20
    assert named <= {code.value for code in ErrorCode}


@pytest.mark.parametrize(
    "line", ["up --tls-cert x", "device frob Site", "edge settings --remote yes", "frob"]
)
def test_wrong_ones_would_be_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such"):
        parse(command_of(application(), "farsite"), line.split())
