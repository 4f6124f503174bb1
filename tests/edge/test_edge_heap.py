"""Memory of large blocks goes back to the system."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

CODE = """
    from pathlib import Path
    from farsite_edge import heap

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    assert heap.tidy()
    bytes(300_000)
    before, kept = resident(), []
    large = [bytearray(b"x" * 256 * 1024) for _ in range(200) if kept.append(bytearray(b"y" * 1000)) is None]
    assert resident() - before > 40_000_000
    large.clear()
    print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is of the GNU C library")
def test_large_blocks_go_back() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(CODE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4_000_000
