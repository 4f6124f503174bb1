"""The signaling client: stays connected to the hub, whatever happens on the way."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

from pydantic import BaseModel

from farsite_signaling.identity.identity import Identity
from farsite_signaling.peer.backoff import Backoff
from farsite_signaling.peer.hubconnection import HubAddress, HubConnection, HubRefusal
from farsite_signaling.peer.network import NetworkHint, NetworkMonitor
from farsite_signaling.peer.proxy import parse_proxy
from farsite_signaling.peer.staggered import staggered
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.grant import LEEWAY_SECONDS
from farsite_signaling.wire.hub import HubMessage, Welcome

log = logging.getLogger(__name__)

OnMessage = Callable[[HubMessage], Awaitable[None]]
OnState = Callable[["SignalingState", FarsiteError | None], None]
_MAX_WAIT_ASKED = 60.0


class SignalingState(StrEnum):
    """`refused`: the hub (or proxy) said no for a reason that will not pass soon; tried again every minute."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    ONLINE = "online"
    REFUSED = "refused"


@dataclass(frozen=True)
class SignalingTiming:
    """Seconds. A connection that lasted `stable_after` starts the next back-off from the beginning.

    The first `eager` attempts, about an hour of them, are at most `eager_cap` apart: a hub, or a network, that comes
    back is found within that time. One that hangs, as where packets vanish, gets others beside it every `beside`
    seconds, `most` in all: TCP's own repetitions are seconds apart by then. A hub that asks for longer heartbeats than
    `heartbeat` has many peers: each waits as much longer between attempts, so that together they try no more often
    than those of a smaller hub.
    """

    open_timeout: float = 10.0
    beside: float = 2.5
    most: int = 4
    handshake_timeout: float = 6.0
    first_retry: float = 0.4
    retry_cap: float = 10.0
    eager: int = 2400
    eager_cap: float = 3.0
    heartbeat: float = 4.0
    refused_retry: float = 60.0
    stable_after: float = 10.0
    inbox: int = 256

    def backoff(self) -> Backoff:
        return Backoff(self.first_retry, self.retry_cap, eager=self.eager, eager_cap=self.eager_cap)

    def stretch(self, heartbeat: float) -> float:
        """Of the back-off, at a hub that asks for this one."""
        return max(1.0, heartbeat / self.heartbeat)


class SignalingClient:
    """`async with client` keeps it connected; leaving closes within a few seconds.

    `url`: the hub's `ws://` or `wss://` address. `on_message` gets envelopes, notices and answers one at a time, in
    order, also while reconnecting; what it raises is logged and counted in `failures`. `on_state` must not wait.
    `proxy` is `http://user:password@host:port` or `socks5://…`; without one the connection is direct. Raises
    `FarsiteError` (`setting_invalid`) for a proxy address that is none.
    """

    def __init__(
        self,
        url: str,
        identity: Identity,
        *,
        agent: str,
        on_message: OnMessage,
        on_state: OnState | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timing: SignalingTiming | None = None,
    ) -> None:
        self._address = HubAddress(url, parse_proxy(proxy) if proxy else None, ssl_context)
        self._identity = identity
        self._agent = agent
        self._on_message = on_message
        self._on_state = on_state
        self._timing = timing or SignalingTiming()
        self._backoff = self._timing.backoff()
        self._inbox: asyncio.Queue[HubMessage] = asyncio.Queue(self._timing.inbox)
        self._connection: HubConnection | None = None
        self._monitor = NetworkMonitor(self._network_changed)
        self._hurry = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._state = SignalingState.OFFLINE
        self._changed = asyncio.Event()
        self._last_error: FarsiteError | None = None
        self._why = ""
        self._clock_offset: float | None = None
        self.failures = 0

    @property
    def state(self) -> SignalingState:
        return self._state

    @property
    def last_error(self) -> FarsiteError | None:
        """Why it is not online; while online, `clock_skew` when this machine's clock is far off, else `None`."""
        return self._last_error

    @property
    def clock_offset(self) -> float | None:
        """Hub time minus this machine's, seconds; `None` before the first contact."""
        return self._clock_offset

    def _set_state(self, state: SignalingState, error: FarsiteError | None) -> None:
        self._log(state, "" if error is None else f": {error}")
        self._state = state
        self._last_error = error
        self._changed.set()
        self._changed = asyncio.Event()
        if self._on_state is None:
            return
        try:
            self._on_state(state, error)
        except Exception:
            self._failed("on_state failed")

    def _log(self, state: SignalingState, why: str) -> None:
        """A cloud that is away for hours is no news at each attempt."""
        level = logging.INFO if state is SignalingState.ONLINE or why != self._why else logging.DEBUG
        log.log(level, "signaling %s -> %s%s", self._state, state, why)
        self._why = why

    def _failed(self, what: str) -> None:
        self.failures += 1
        log.exception(what)

    # Life

    async def __aenter__(self) -> SignalingClient:
        assert self._group is None, "a signaling client is entered once"
        self._group = await asyncio.TaskGroup().__aenter__()
        self._tasks = [
            self._group.create_task(self._supervise(), name="signaling"),
            self._group.create_task(self._dispatch(), name="signaling messages"),
            self._group.create_task(self._monitor.run(), name="signaling network"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None
        for task in self._tasks:
            task.cancel()
        # Without the error: a group would wrap what the body raised.
        await self._group.__aexit__(None, None, None)
        if self._state is not SignalingState.OFFLINE:
            self._set_state(SignalingState.OFFLINE, FarsiteError(ErrorCode.CLOSED, "Signaling was closed."))

    async def wait_online(self, timeout: float) -> None:
        """Raises why it is refused as soon as it is; after `timeout` seconds what went wrong last, or `timeout`."""
        try:
            async with asyncio.timeout(timeout):
                while self._state is not SignalingState.ONLINE:
                    self._raise_refusal()
                    await self._changed.wait()
        except TimeoutError:
            waited = FarsiteError(ErrorCode.TIMEOUT, f"Not connected to the cloud after {timeout:g} s.")
            raise (self._last_error or waited) from None

    def _raise_refusal(self) -> None:
        if self._state is SignalingState.REFUSED and self._last_error is not None:
            raise self._last_error

    async def send(self, message: BaseModel) -> None:
        """Raises `FarsiteError` when not online: what is said while offline is lost."""
        if self._connection is None:
            raise FarsiteError(ErrorCode.CLOUD_UNREACHABLE, "Not connected to the cloud right now.")
        await self._connection.send(message)

    # Staying connected

    async def _supervise(self) -> None:
        """One attempt after another, forever: no failure of any of them ends this."""
        while True:
            try:
                error = await self._attempt()
            except Exception as unexpected:
                self._failed("signaling failed; it goes on")
                error = FarsiteError(ErrorCode.INTERNAL, f"Signaling failed: {unexpected!r}.")
            self._set_state(
                SignalingState.REFUSED if _is_final(error) else SignalingState.OFFLINE,
                self._with_clock(error),
            )
            await self._wait(self._pause(error), patient=_is_final(error))

    async def _wait(self, seconds: float, *, patient: bool) -> None:
        """Cut short when the network changes, unless it was no fault of the network's."""
        self._hurry.clear()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._hurry.wait()
                    if not patient:
                        return
                    self._hurry.clear()
        except TimeoutError:
            pass

    def _network_changed(self, hint: NetworkHint) -> None:
        self._backoff.reset()
        self._hurry.set()
        if self._connection is not None:
            self._connection.doubt(hint.gone)

    async def _attempt(self) -> FarsiteError:
        """One connection from its beginning to its end; why it ended."""
        self._set_state(SignalingState.CONNECTING, self._last_error)
        try:
            connection = await self._open()
        except FarsiteError as error:
            return error
        try:
            welcome = await self._shake_hands(connection)
            return await self._stay(connection, welcome)
        except FarsiteError as error:
            return error
        finally:
            self._connection = None
            await connection.close()

    async def _open(self) -> HubConnection:
        timing = self._timing
        return await staggered(
            lambda: HubConnection.open(self._address, timing.open_timeout),
            HubConnection.close,
            timing.beside,
            timing.most,
        )

    async def _shake_hands(self, connection: HubConnection) -> Welcome:
        try:
            return await connection.shake_hands(self._identity, self._agent, self._timing.handshake_timeout)
        finally:
            if connection.clock_offset is not None:
                self._clock_offset = connection.clock_offset

    async def _stay(self, connection: HubConnection, welcome: Welcome) -> FarsiteError:
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._connection = connection
        self._set_state(SignalingState.ONLINE, self._clock_warning())
        try:
            return await connection.run(welcome.heartbeat, self._inbox.put)
        finally:
            self._backoff.stretch = self._timing.stretch(connection.heartbeat)
            if loop.time() - since >= self._timing.stable_after:
                self._backoff.reset()

    def _pause(self, error: FarsiteError) -> float:
        if _is_final(error):
            return self._timing.refused_retry * random.uniform(0.8, 1.2)  # noqa: S311 (spreads load)
        return self._backoff.next() + min(error.retry_after or 0.0, _MAX_WAIT_ASKED)

    # The clock

    def _clock_warning(self) -> FarsiteError | None:
        offset = self._clock_offset or 0.0
        if abs(offset) <= LEEWAY_SECONDS:
            return None
        side = "behind" if offset > 0 else "ahead of"
        return FarsiteError(
            ErrorCode.CLOCK_SKEW,
            f"This machine's clock is {abs(offset):.0f} s {side} the cloud's. Set the clock (NTP): sessions fail "
            f"beyond {LEEWAY_SECONDS} s.",
        )

    def _with_clock(self, error: FarsiteError) -> FarsiteError:
        """A refusal may well come from the clock: then say so."""
        warning = self._clock_warning()
        if warning is None or not isinstance(error, HubRefusal):
            return error
        return FarsiteError(error.code, f"{error.detail} {warning.detail}", retry_after=error.retry_after)

    # Messages

    async def _dispatch(self) -> None:
        while True:
            message = await self._inbox.get()
            try:
                await self._on_message(message)
            except Exception:
                self._failed(f"on_message failed for {message.type}")


def _is_final(error: FarsiteError) -> bool:
    if isinstance(error, HubRefusal):
        return not error.retry
    # Repeating a wrong password quickly locks accounts at many proxies.
    return error.code in (ErrorCode.PROXY_AUTHENTICATION, ErrorCode.FORBIDDEN, ErrorCode.VERSION_UNSUPPORTED)
