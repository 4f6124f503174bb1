"""`python -m tests.bench [NAME …]`: all benchmarks, or those named."""

from __future__ import annotations

import importlib
import sys

from tests.bench.harness import run

BENCHMARKS = {
    "api": "tests.bench.api",
    "connect": "tests.bench.connect",
    "hub": "tests.bench.hub",
    "interactive": "tests.bench.interactive",
    "fleet": "tests.bench.fleet",
    "parsers": "tests.bench.parsers",
    "sessions": "tests.bench.sessions",
    "rolling": "tests.bench.rolling",
    "scan": "tests.bench.scan",
    "tunnel-local": "tests.bench.tunnel_local",
    "tunnel-wan": "tests.bench.tunnel_wan",
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        run(name, importlib.import_module(BENCHMARKS[name]).measure)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
