"""`python -m farsite_client.demo.kept …` is `farsite …` that ends when whoever started it is gone.

The starter holds the other end of standard input. Its end, even by SIGKILL, closes the pipe, and that is noticed
here on every platform and through `ip netns exec`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

GRACE_SECONDS = 10.0


def watch_starter() -> None:
    threading.Thread(target=_end_with_starter, name="starter watch", daemon=True).start()


def _end_with_starter() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # Nobody is left to stop us in order, nor to wait for it: first as if asked to, then for certain.
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    from farsite_client.cli import main

    watch_starter()
    main()
