"""What a process may have open: systems start it with room for few connections, and let it ask for more."""

from __future__ import annotations

from contextlib import suppress


def raise_descriptors(most: int = 65536) -> None:
    """As many open files as the system lets this process have."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
