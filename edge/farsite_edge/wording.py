"""What the edge host's commands and events say to people. Programs take `--json`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from farsite_edge.settings import default_data_dir


def sentence(event: str, values: Mapping[str, object]) -> str:
    if event == "ready":
        return "\n".join(_ready(values))
    told = " ".join(f"{name}={value}" for name, value in values.items() if value not in (None, ""))
    return f"{event.replace('_', ' ')} {told}".rstrip()


def _ready(values: Mapping[str, object]) -> list[str]:
    folder = Path(str(values["data_dir"]))
    first = f"Edge host {values['name']!r} is ready: HTTPS port {values['https_port']}, data in {folder}"
    if values["state"] == "claimed":
        return [first]
    port = "" if values["http_port"] == 37080 else f":{values['http_port']}"
    return [
        first,
        "It belongs to nobody yet. Claim it",
        f"  from this network:    farsite claim ADDRESS{port} --name NAME",
        f"  or with a setup code: farsite edge claim CODE --cloud URL{beside(folder)}",
        "                        (made anywhere by: farsite claim --code-only --name NAME)",
    ]


def claimed(name: str, organization: str | None, folder: Path, *, running: bool, remote: bool) -> list[str]:
    lines = [f"{name!r} belongs to {organization} now."]
    if not remote:
        lines.append(f"Remote access is off: farsite edge settings --remote-access on{beside(folder)}")
    if not running:
        lines.append(f"The edge host does not run yet: farsite edge run{beside(folder)}")
    return lines


def beside(folder: Path) -> str:
    """The option that commands need to find the same edge host."""
    return "" if folder == default_data_dir() else f" --data-dir {shlex.quote(str(folder))}"
