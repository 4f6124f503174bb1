"""What a demo is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MIB = 1024 * 1024


class NatKind(StrEnum):
    """`none`: all on this machine. `hard`: both ends behind symmetric NATs (namespaces; root, Linux)."""

    NONE = "none"
    HARD = "hard"


@dataclass(frozen=True)
class DemoOptions:
    folder: Path
    cameras: int = 5
    transfer: int = 32 * MIB
    nat: NatKind = NatKind.NONE
