"""Python's collector of garbage, told what is none."""

from __future__ import annotations

import gc

_YOUNG = 20_000
"""Objects made and not yet gone before the collector looks at the newest: a page of devices alone is thousands."""


def keep_what_is_there() -> None:
    """To be called once the process serves: what its start made stays, and is not gone through again.

    A full collection walks over everything that modules, models and statements consist of: a tenth of a second in which
    nobody is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
