"""DNS, bounded: a resolver that never answers must not hold the check up."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time

from farsite_signaling.peer.netcheck.target import NAME_SECONDS
from farsite_signaling.wire.netcheck import CheckRow, failed, passed, warned

FIX = "Check this machine's DNS servers and the name; the site's firewall must let DNS out."


class Names:
    """Each name is looked up once; `addresses` waits for the answer and is empty when there is none."""

    def __init__(self) -> None:
        self._found: dict[str, asyncio.Future[list[str] | OSError]] = {}
        self._took: dict[str, float] = {}

    async def addresses(self, host: str) -> list[str]:
        answer = await self._answer(host)
        return [] if isinstance(answer, OSError) else answer

    async def row(self, host: str, what: str, *, behind_proxy: bool) -> CheckRow:
        name = f"DNS {host}"
        answer = await self._answer(host)
        if not isinstance(answer, OSError):
            taken = None if _is_address(host) else self._took[host]
            return passed(name, f"{what}: {', '.join(answer)}", taken)
        reason = "no answer in time" if isinstance(answer, TimeoutError) else "there is no such name here"
        if behind_proxy:
            return warned(name, f"{what}: {reason}; the proxy resolves it for TCP, UDP cannot be used", FIX)
        return failed(name, f"{what}: {reason} ({answer.strerror or 'timeout'})", FIX)

    async def _answer(self, host: str) -> list[str] | OSError:
        if host not in self._found:
            self._found[host] = asyncio.get_running_loop().create_future()
            started = time.monotonic()
            answer = [host] if _is_address(host) else await _look_up(host)
            self._took[host] = (time.monotonic() - started) * 1000
            self._found[host].set_result(answer)
        return await self._found[host]


async def _look_up(host: str) -> list[str] | OSError:
    """In a thread nobody waits for: the loop's own executor would be waited for when the program ends."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str] | OSError] = loop.create_future()

    def tell(found: list[str] | OSError) -> None:
        if not answer.done():
            answer.set_result(found)

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found: list[str] | OSError = list(dict.fromkeys(str(row[4][0]) for row in rows))
        except OSError as error:
            found = error
        except UnicodeError:
            found = OSError(0, "not a host name")
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=ask, name=f"dns {host}", daemon=True).start()
    try:
        async with asyncio.timeout(NAME_SECONDS):
            return await answer
    except TimeoutError as error:
        return error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
