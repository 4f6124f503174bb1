"""Keeps a tunnel's link: another one when it is lost, a shorter one where there is one.

lost ──> attempt at once ──> attempts after jittered pauses, cut short by a change of the network
relay ─> try a direct path beside it ─> prove it ─> move the streams ─> close the relay
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from farsite_signaling.peer.backoff import Backoff
from farsite_signaling.peer.dialer import Dialer
from farsite_signaling.peer.network import NetworkHint, NetworkMonitor
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.proof import prove
from farsite_signaling.peer.rtc import RtcLink
from farsite_signaling.peer.tunnel import Tunnel, TunnelState
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)

DIRECT_PAUSES = (15.0, 60.0)
"""After a direct path was not found; then it is looked for when addresses change, and not more often than this:"""
DIRECT_REST = 5.0
SLACK = 0.025
"""A direct path may be this much slower than the relay, seconds: it costs nobody else's bandwidth, and two
measurements of busy machines differ."""
RENEW_PAUSE = 5.0
MAX_RETRY_AFTER = 60.0

# Trying again does not cure these.
FINAL = frozenset(
    {
        ErrorCode.CERTIFICATE_EXPIRED,
        ErrorCode.CERTIFICATE_INVALID,
        ErrorCode.CERTIFICATE_REVOKED,
        ErrorCode.FINGERPRINT_MISMATCH,
        ErrorCode.FORBIDDEN,
        ErrorCode.GRANT_INVALID,
        ErrorCode.NOT_FOUND,
        ErrorCode.PROXY_AUTHENTICATION,
        ErrorCode.REMOTE_ACCESS_OFF,
        ErrorCode.SESSION_ENDED,
        ErrorCode.SIGNATURE_INVALID,
        ErrorCode.TOKEN_EXPIRED,
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.VERSION_UNSUPPORTED,
    }
)


class LinkKeeper:
    """Implements `tunnel.Keeper` for the side that dials."""

    def __init__(self, dialer: Dialer, options: PeerOptions, monitor: NetworkMonitor | None = None) -> None:
        self._dialer = dialer
        self._options = options
        self._monitor = monitor or NetworkMonitor(self.hint)
        self._hinted = asyncio.Event()
        self._direct_at: float | None = None
        self._direct_tried = 0
        self._renew_backoff = Backoff(first=RENEW_PAUSE, cap=300.0)
        self._renew_at = 0.0
        self._tunnel: Tunnel | None = None

    def hint(self, hint: NetworkHint) -> None:
        """What the monitor saw: look at the link, and try everything anew."""
        self._hinted.set()
        if self._tunnel is not None:
            self._plan_direct_again()
            self._tunnel.doubt(hint.gone)

    async def run(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._plan_direct(tunnel)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._monitor.run(), name="link keeper: network")
            group.create_task(self._renew(), name="link keeper: ticket")
            await self._follow(tunnel)

    async def _follow(self, tunnel: Tunnel) -> None:
        while True:
            self._hinted.clear()
            if tunnel.state is TunnelState.DETACHED:
                await self._reconnect(tunnel)
            elif self._direct_due(tunnel) == 0:
                await self._improve(tunnel)
            else:
                await _first_of(tunnel.changed, self._hinted.wait, timeout=self._direct_due(tunnel))

    # lost

    async def _reconnect(self, tunnel: Tunnel) -> None:
        backoff = Backoff(first=0.5, cap=5.0, eager=15, eager_cap=2.0)  # somebody waits
        while tunnel.state is TunnelState.DETACHED:
            self._hinted.clear()
            error = await self._attempt(tunnel, self._dialer.another, self._use(tunnel))
            if error is None:
                continue
            logger.info("tunnel %s: no link yet: %s", tunnel.session, error)
            if self._is_final(error):
                tunnel.fail(error)
                return
            pause = backoff.next() + min(error.retry_after or 0.0, MAX_RETRY_AFTER)
            await _first_of(self._hinted.wait, timeout=pause)

    def _is_final(self, error: FarsiteError) -> bool:
        if error.code is ErrorCode.GRANT_EXPIRED:
            return not self._dialer.tickets.renewable
        return error.code in FINAL

    def _use(self, tunnel: Tunnel) -> Callable[[RtcLink], Awaitable[None]]:
        async def use(link: RtcLink) -> None:
            if tunnel.state is TunnelState.DETACHED:
                tunnel.attach(link, why=f"reconnected: {_detail(tunnel.error)}")
                self._plan_direct(tunnel)

        return use

    async def _attempt(
        self,
        tunnel: Tunnel,
        dial: Callable[[Callable[[RtcLink], Awaitable[None]]], Awaitable[None]],
        use: Callable[[RtcLink], Awaitable[None]],
    ) -> FarsiteError | None:
        """Why it failed; None when it did not, or when the network changed: what it tries is out of date then."""
        failure: list[FarsiteError] = []

        async def work() -> None:
            try:
                await dial(use)
            except FarsiteError as error:
                failure.append(error)

        await _first_of(work, self._hinted.wait)
        return failure[0] if failure else None

    # shorter

    def _plan_direct(self, tunnel: Tunnel) -> None:
        wanted = tunnel.path.relayed and not self._options.relay_only
        self._direct_tried = 0
        self._direct_at = _now() + self._options.direct_delay if wanted else None

    def _plan_direct_again(self) -> None:
        """The network changed: what was in the way may be gone."""
        if not self._options.relay_only:
            self._direct_tried = 0
            soon = _now() + max(self._options.direct_delay, DIRECT_REST)
            self._direct_at = soon if self._direct_at is None else min(soon, self._direct_at)

    def _direct_due(self, tunnel: Tunnel) -> float | None:
        """Seconds until a direct path should be tried; None when it should not."""
        if self._direct_at is None or tunnel.state is not TunnelState.OPEN or not tunnel.path.relayed:
            return None
        return max(0.0, self._direct_at - _now())

    async def _improve(self, tunnel: Tunnel) -> None:
        self._direct_at = None
        if _udp_blocked(tunnel):
            logger.debug("tunnel %s: no direct path is tried, UDP is blocked here", tunnel.session)
            return
        error = await self._attempt_direct(tunnel)
        if error is None or tunnel.state is not TunnelState.OPEN or not tunnel.path.relayed:
            return
        logger.info("tunnel %s: no direct path: %s", tunnel.session, error)
        if self._direct_at is None and self._direct_tried < len(DIRECT_PAUSES):
            self._direct_at = _now() + DIRECT_PAUSES[self._direct_tried]
            self._direct_tried += 1

    async def _attempt_direct(self, tunnel: Tunnel) -> FarsiteError | None:
        result: list[FarsiteError | None] = []

        async def work() -> None:
            result.append(
                await self._attempt(tunnel, self._dialer.direct, lambda link: self._move(tunnel, link))
            )

        # Beside a link that works: when that one is lost, this no longer matters.
        await _first_of(work, lambda: _until_unlinked(tunnel))
        return result[0] if result else None

    async def _move(self, tunnel: Tunnel, link: RtcLink) -> None:
        direct, relayed = await prove(link), tunnel.rtt
        if relayed is not None and direct > relayed + SLACK:
            detail = f"The direct path takes {direct * 1000:.0f} ms, the relay {relayed * 1000:.0f} ms."
            raise FarsiteError(ErrorCode.PEER_UNREACHABLE, detail)
        if tunnel.state is not TunnelState.OPEN:
            raise FarsiteError(ErrorCode.CLOSED, "The tunnel lost its link meanwhile.")
        tunnel.attach(link, why=f"a direct path was proven: it answers within {direct * 1000:.1f} ms")

    # tickets

    async def _renew(self) -> None:
        """Fetch new credentials while the old ones are good: when they are needed, the cloud may be away."""
        tickets = self._dialer.tickets
        while (due := tickets.due()) is not None:
            # Looked at often: a machine that sleeps does not notice the time pass.
            await asyncio.sleep(min(30.0, due) if due else max(0.0, self._renew_at - _now()))
            if tickets.due() != 0 or _now() < self._renew_at:
                continue
            try:
                await tickets.renew()
                self._renew_backoff.reset()
                self._renew_at = _now() + RENEW_PAUSE
            except FarsiteError as error:
                logger.info("the session's ticket was not renewed: %s", error)
                self._renew_at = _now() + 1.0 + self._renew_backoff.next()


def _udp_blocked(tunnel: Tunnel) -> bool:
    """Whether the link in use found that no server answers over UDP. Another network means another link."""
    link = tunnel.link
    return isinstance(link, RtcLink) and link.report.udp_blocked


async def _until_unlinked(tunnel: Tunnel) -> None:
    """Until the tunnel loses the link it has."""
    while tunnel.state is TunnelState.OPEN:
        await tunnel.changed()


async def _first_of(*works: Callable[[], Awaitable[object]], timeout: float | None = None) -> None:
    """Run them together until one is done, or `timeout` seconds have passed; the others are cancelled.

    No task group: in Python 3.11 an end that meets our own cancellation would swallow it.
    """
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(_run(work), name=f"link keeper: wait {number}") for number, work in enumerate(works)
    ]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _run(work: Callable[[], Awaitable[object]]) -> None:
    await work()


def _detail(error: FarsiteError | None) -> str:
    return error.detail if error is not None else "the link was lost"


def _now() -> float:
    return asyncio.get_running_loop().time()
