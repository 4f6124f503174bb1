"""One connection to the hub: opening it (through a proxy), proving who we are, heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from farsite_signaling.identity.identity import Identity
from farsite_signaling.peer.proxy import Proxy
from farsite_signaling.peer.reachability import explain
from farsite_signaling.wire.errors import ErrorCode, FarsiteError, parse_code
from farsite_signaling.wire.heartbeat import Heartbeat
from farsite_signaling.wire.hub import (
    MAX_MESSAGE,
    Bye,
    Challenge,
    Hello,
    HubMessage,
    Ping,
    Pong,
    Proof,
    Unknown,
    Welcome,
    dump,
    parse_hub_message,
    proof_bytes,
)
from farsite_signaling.wire.version import supported_versions

log = logging.getLogger(__name__)
T = TypeVar("T", bound=BaseModel)
Deliver = Callable[[HubMessage], Awaitable[None]]

# What a hub may ask for, seconds: a wrong answer must neither flood it nor stop us from noticing silence.
_HEARTBEAT_RANGE = (0.05, 60.0)
_CLOSE_TIMEOUT = 1.0
_DOUBT_PATIENCE = 2.0
NOBODY = "urn:farsite:nobody:edge:nobody"
"""A well-formed name that no authority certifies."""


class HubRefusal(FarsiteError):
    """The hub said good-bye. `retry`: whether coming back soon makes sense."""

    def __init__(self, bye: Bye) -> None:
        super().__init__(parse_code(bye.code), bye.detail or bye.code, retry_after=bye.retry_after)
        self.retry = bye.retry


@dataclass(frozen=True)
class HubAddress:
    """Where the hub is and how to get there. `url` is `ws://` or `wss://`."""

    url: str
    proxy: Proxy | None = None
    ssl_context: ssl.SSLContext | None = None

    @property
    def host(self) -> str:
        """Host and port, for people."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def options(self) -> dict[str, Any]:
        """Arguments of `websockets.connect` for this way."""
        options: dict[str, Any] = {"proxy": None if self.proxy is None else _proxy_url(self.proxy)}
        if self.ssl_context is not None and urlsplit(self.url).scheme == "wss":
            options["ssl"] = self.ssl_context
        if self.ssl_context is not None and self.proxy is not None and self.proxy.scheme == "https":
            options["proxy_ssl"] = self.ssl_context
        if self._raced and isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):
            options["happy_eyeballs_delay"] = 0.25  # RFC 8305; uvloop's loop does not know it
        return options

    @property
    def _raced(self) -> bool:
        """A name may have several addresses. (A race that is cancelled may leave its socket to the collector.)"""
        if self.proxy is not None:
            return False
        try:
            ipaddress.ip_address(urlsplit(self.url).hostname or "")
        except ValueError:
            return True
        return False


def _proxy_url(proxy: Proxy) -> str:
    # Where a proxy is the only way out there is often no DNS for outside names: let the proxy resolve them.
    return replace(proxy, scheme="socks5h").url if proxy.scheme == "socks5" else proxy.url


class HubConnection:
    """Use: `open`, `shake_hands`, then `run` while others `send`; `close` in any case."""

    def __init__(self, socket: ClientConnection, address: HubAddress) -> None:
        self._socket = socket
        self._address = address
        self._handing_over = False
        self._lost: FarsiteError | None = None
        self._doubted = asyncio.Event()
        self.clock_offset: float | None = None
        self.heartbeat = 0.0
        """What the hub asked for last, seconds."""

    @classmethod
    async def open(cls, address: HubAddress, timeout: float) -> HubConnection:
        """Raises `FarsiteError`, whatever went wrong."""
        try:
            socket = await connect(
                address.url,
                compression=None,
                max_size=MAX_MESSAGE,
                ping_interval=None,
                open_timeout=timeout,
                close_timeout=_CLOSE_TIMEOUT,
                **address.options(),
            )
        except Exception as error:
            raise explain(error, address.host, address.proxy) from error
        return cls(socket, address)

    async def shake_hands(self, identity: Identity, agent: str, timeout: float) -> Welcome:
        """Raises `HubRefusal` and `FarsiteError`. `clock_offset` is known after the challenge, even if refused."""
        try:
            async with asyncio.timeout(timeout):
                return await self._shake_hands(identity, agent)
        except TimeoutError:
            raise self._unreachable("did not finish the handshake in time") from None
        except ConnectionClosed as closed:
            raise self._closed(closed) from None

    async def _shake_hands(self, identity: Identity, agent: str) -> Welcome:
        challenge = await self._greet(identity.urn, identity.certificate_pem, agent)
        signature = identity.sign(proof_bytes(challenge.nonce, identity.urn))
        await self._socket.send(dump(Proof(signature=signature)))
        welcome = await self._expect(Welcome)
        if welcome.version not in supported_versions():
            raise FarsiteError(
                ErrorCode.VERSION_UNSUPPORTED,
                f"The cloud chose protocol version {welcome.version}, which was not offered. Update the cloud.",
            )
        return welcome

    async def _greet(self, name: str, certificate: str, agent: str) -> Challenge:
        hello = Hello(versions=supported_versions(), name=name, certificate=certificate, agent=agent[:100])
        asked = time.time()
        await self._socket.send(dump(hello))
        challenge = await self._expect(Challenge)
        self.clock_offset = _offset(challenge, asked, time.time())
        return challenge

    async def ask_time(self, agent: str, timeout: float) -> float | None:
        """The hub's clock minus ours, seconds, by its challenge: the hub gives it before it asks who we are."""
        try:
            async with asyncio.timeout(timeout):
                await self._greet(NOBODY, "", agent)
        except TimeoutError:
            raise self._unreachable("did not answer the hello in time") from None
        except ConnectionClosed as closed:
            raise self._closed(closed) from None
        return self.clock_offset

    def abort(self) -> None:
        """Without a word, at once."""
        self._socket.transport.abort()

    async def _expect(self, kind: type[T]) -> T:
        while True:
            message = parse_hub_message(await self._socket.recv())
            if isinstance(message, kind):
                return message
            if isinstance(message, Bye):
                raise HubRefusal(message)
            if not isinstance(message, Unknown):
                detail = f"The hub sent {message.type} during the handshake."
                raise FarsiteError(ErrorCode.PROTOCOL_ERROR, detail)

    async def run(self, heartbeat: float, deliver: Deliver) -> FarsiteError:
        """Until the connection ends; why it did. `deliver` may wait: the hub then waits for us."""
        self.heartbeat = _bounded(heartbeat)
        pulse = Heartbeat(self.heartbeat, _now())
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(self._beat(pulse), name="hub heartbeat")
            try:
                return await self._read(pulse, deliver)
            finally:
                beat.cancel()

    async def _read(self, pulse: Heartbeat, deliver: Deliver) -> FarsiteError:
        try:
            while True:
                message = parse_hub_message(await self._socket.recv())
                pulse.received(_now())
                if isinstance(message, Pong) and message.heartbeat is not None:
                    self.heartbeat = _bounded(message.heartbeat)
                    pulse.pace(self.heartbeat, _now())
                await self._received(message, deliver)
        except FarsiteError as error:
            return error
        except ConnectionClosed as closed:
            return self._closed(closed)

    async def _received(self, message: HubMessage | Unknown, deliver: Deliver) -> None:
        match message:
            case Ping():
                await self._socket.send(dump(Pong(token=message.token)))
            case Bye():
                raise HubRefusal(message)
            case Pong() | Unknown():
                pass
            case _:
                self._handing_over = True
                await deliver(message)
                self._handing_over = False

    def doubt(self, gone: frozenset[str]) -> None:
        """The network changed or this machine slept: ends now if our address is `gone`, else has to prove itself."""
        name = self._socket.transport.get_extra_info("sockname")
        if name and name[0] in gone:
            self._lost = self._unreachable(f"is cut off: our address {name[0]} is gone")
            self._socket.transport.abort()
        else:
            self._doubted.set()

    async def _wait_beat(self, pulse: Heartbeat) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pulse.deadline() - _now())):
                await self._doubted.wait()
                self._doubted.clear()
                pulse.hurry(_DOUBT_PATIENCE, _now())

    async def _beat(self, pulse: Heartbeat) -> None:
        while True:
            await self._wait_beat(pulse)
            if self._handing_over:
                pulse.received(_now())  # our own slowness is not the hub's silence
            if pulse.dead(_now()):
                self._lost = self._unreachable("has been silent for too long: the connection is dead")
                self._socket.transport.abort()
                return
            if (token := pulse.ping(_now())) is not None and not await self._pinged(token, pulse.expires()):
                return

    async def _pinged(self, token: int, until: float) -> bool:
        """False when the connection is closed. A full send buffer must not keep silence from being noticed."""
        try:
            async with asyncio.timeout_at(until):
                await self._socket.send(dump(Ping(token=token)))
        except TimeoutError:
            return True
        except ConnectionClosed:
            return False
        return True

    async def send(self, message: BaseModel) -> None:
        """Raises `FarsiteError` (`cloud_unreachable`) when the connection ended."""
        try:
            await self._socket.send(dump(message))
        except ConnectionClosed as closed:
            raise self._closed(closed) from None

    async def close(self) -> None:
        """Idempotent; takes about a second at most."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * _CLOSE_TIMEOUT):
                    await self._socket.close()
        finally:
            self._socket.transport.abort()

    def _closed(self, closed: ConnectionClosed) -> FarsiteError:
        if self._lost is not None:
            return self._lost
        reason = (
            "" if closed.rcvd is None else f" ({closed.rcvd.code} {closed.rcvd.reason})".replace(" )", ")")
        )
        return self._unreachable(f"closed the connection{reason}")

    def _unreachable(self, what: str) -> FarsiteError:
        return FarsiteError(ErrorCode.CLOUD_UNREACHABLE, f"The cloud at {self._address.host} {what}.")


def _bounded(heartbeat: float) -> float:
    """Whatever a hub asks for."""
    low, high = _HEARTBEAT_RANGE
    return min(high, max(low, heartbeat)) if math.isfinite(heartbeat) else high


def _offset(challenge: Challenge, asked: float, answered: float) -> float | None:
    """Hub time minus ours at the middle of the round trip, seconds."""
    offset = challenge.time - (asked + answered) / 2
    return offset if math.isfinite(offset) else None


def _now() -> float:
    return asyncio.get_running_loop().time()
