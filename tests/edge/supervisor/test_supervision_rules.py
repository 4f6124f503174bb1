"""When the supervisor starts the edge host again, and when it takes it for hanging."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from farsite_edge.supervisor.rules import Limits, Supervision
from farsite_edge.supervisor.unit import unit
from farsite_signaling.wire.errors import FarsiteError

LIMITS = Limits(silence=20, start=120, pause=0.2, longest_pause=30, settled=60)
KILLED = -9


def running(now: float = 0.0) -> Supervision:
    supervision = Supervision(LIMITS)
    supervision.started(now)
    supervision.heard(now, ready=True)
    return supervision


def looks(supervision: Supervision, until: int, since: int = 0) -> list[bool]:
    return [supervision.hangs(float(now)) for now in range(since, until)]


def test_killed_it_starts_at_once_and_later_each_time_it_does_not_last() -> None:
    supervision = running()
    pauses = []
    for _ in range(12):
        pauses.append(supervision.ended(1.0, KILLED))
        supervision.started(1.0)
        supervision.heard(1.0, ready=True)
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert pauses[-1] == 30
    assert supervision.ended(1.0 + 61, 1) == 0.2  # that one had lasted


def test_told_to_stop_it_stays_stopped() -> None:
    assert running().ended(100.0, 0) is None


def test_what_never_came_up_has_said_why() -> None:
    supervision = Supervision(LIMITS)
    supervision.started(0.0)
    supervision.heard(0.5)
    assert supervision.ended(1.0, 1) is None
    supervision.started(0.0)
    assert supervision.ended(1.0, KILLED) == 0.2  # nobody meant that
    supervision.started(2.0)
    supervision.heard(3.0, ready=True)
    assert supervision.ended(4.0, 1) is not None  # it has worked: the disk is full, a port is taken for now
    assert supervision.ended(5.0, 2) is None  # settings do not become right by themselves


def test_silence_is_taken_for_hanging() -> None:
    supervision = running()
    assert looks(supervision, 21) == [False] * 21
    assert supervision.hangs(20.5)
    supervision.heard(21.0)
    assert not supervision.hangs(22.0)


def test_a_start_may_take_longer() -> None:
    supervision = Supervision(LIMITS)
    supervision.started(0.0)
    assert looks(supervision, 121) == [False] * 121
    assert supervision.hangs(120.5)


def test_a_machine_that_was_suspended_is_no_hang() -> None:
    supervision = running()
    assert not any(looks(supervision, 10))
    assert not supervision.hangs(3600.0)
    assert not any(looks(supervision, 3610, since=3601))
    assert any(looks(supervision, 3650, since=3610))


@pytest.mark.parametrize("folder", [None, Path("/srv/farsite data")])
def test_the_unit_for_systemd(folder: Path | None, tmp_path: Path) -> None:
    program = tmp_path / "farsite"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit([str(program)], user="root", folder=folder)
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[method-assign,assignment]
    parsed.read_string(text)
    service = parsed["Service"]
    assert service["Type"] == "notify" and service["WatchdogSec"] == "30s" and service["Restart"] == "always"
    place = '"/srv/farsite data"' if folder else "/var/lib/farsite-edge"
    assert service["ExecStart"] == f"{program} edge run --data-dir {place}"
    if shutil.which("systemd-analyze"):
        path = tmp_path / "farsite-edge.service"
        path.write_text(text)
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
        )
        newer = ("RestartSteps", "RestartMaxDelaySec")  # than some systemd that tests run beside
        lines = [line for line in checked.stderr.splitlines() if not any(name in line for name in newer)]
        assert "farsite-edge.service" not in "".join(lines), checked.stderr


def test_nothing_else_gets_into_the_unit() -> None:
    for user in ("a\nExecStartPre=/bin/sh", "%h", 'a"b', ""):
        with pytest.raises(FarsiteError):
            unit(["/usr/bin/farsite"], user=user, folder=None)
