"""How the process takes memory from the system and gives it back."""

from __future__ import annotations

import ctypes
import sys

# mallopt(3) of the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_GIVEN_BACK = 128 * 1024
_LARGE = 64 * 1024
_ARENAS = 2


def tidy() -> bool:
    """Give large blocks back when they are done with. Whether that is possible here.

    Every TLS connection has a buffer of 256 KiB. By default the C library, once it has seen a few of them, keeps all
    such blocks between small ones for ever, in several heaps: with a thousand devices a third of the memory.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    values = {_ARENA_MAX: _ARENAS, _MMAP_THRESHOLD: _LARGE, _TRIM_THRESHOLD: _GIVEN_BACK}
    return all(mallopt(name, value) == 1 for name, value in values.items())
