"""What a process that reads strangers' bytes gives up, where the system lets it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from farsite_edge.workers import landlock, seccomp
from farsite_signaling.descriptors import raise_descriptors

logger = logging.getLogger(__name__)

# prctl(2)
_PDEATHSIG, _DUMPABLE, _NAME, _NO_NEW_PRIVS = 1, 4, 15, 38
NAME = b"farsite-tunnel"
OOM_ADJUST = "300"
SYSTEM = (
    *("/usr", "/lib", "/lib64", "/etc", "/dev/urandom", "/dev/null"),
    *("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/var/lib/ca-certificates"),
)
"""Libraries, names of hosts, certificates. Not /proc: other processes' environment is there."""


def _prctl(option: int, value: object) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def harden() -> None:
    """For the zygote, and so for all it forks: no further privileges, no core files, no debugger of the same user."""
    # When memory is short sessions go before device management does. (Later /proc/self is root's.)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_ADJUST)
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_DUMPABLE, 0)
    _prctl(_NAME, NAME)
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    raise_descriptors()


def close_doors(writable: Path | None) -> None:
    """For the zygote, once all is imported, and so for all it forks: the system's own folders and the program's can be
    read, `writable` is the one place to write, nothing is executed, and there is no way to other processes."""
    program = {Path(sys.prefix), Path(sys.base_prefix), *(Path(entry) for entry in sys.path if entry)}
    trusted = {Path(os.environ[name]) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ}
    system = {Path(place) for place in SYSTEM}
    closed = landlock.restrict(
        program | trusted | system, [Path("/dev/null"), *([writable] if writable else [])]
    )
    filtered = seccomp.restrict()
    if not (closed and filtered):
        logger.info(
            "not closed here: files %s, calls %s", "no" if closed else "yes", "no" if filtered else "yes"
        )


def die_with_parent(parent: int) -> None:
    """In a worker: the zygote's end is ours too, hung or not."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
