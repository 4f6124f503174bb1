"""What can carry a flow between two ends: Farsite's tunnel, stock aiortc, our link with a stock peer, TCP.

Each has a dialing and an accepting side; both are context managers that hold the connection, and give the flow.
Signals between them (offers, answers, envelopes) are lines that the bench carries.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from farsite_signaling.wire.hub import EnvelopeMessage, Undeliverable, dump, parse_hub_message
from tests.bench.wan_flow import ChannelFlow, Echo, Flow, LinkFlow, StreamFlow, trips

Signal = Callable[[str], Awaitable[None]]


class Carrier:
    """`ready` returns when the other side may begin, `flow` when the connection stands."""

    def __init__(self, arguments: dict[str, Any], signal: Signal) -> None:
        self._arguments = arguments
        self._signal = signal
        self._stack = AsyncExitStack()
        self._flow: asyncio.Future[Flow] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(None, None, None)

    async def start(self) -> None:
        raise NotImplementedError

    async def signalled(self, line: str) -> None:
        raise NotImplementedError

    async def flow(self) -> Flow:
        return await asyncio.shield(self._flow)

    async def trips(self, size: int, seconds: float) -> list[tuple[float, float]]:
        """Requests beside the flow: see `wan_flow.trips`."""
        raise NotImplementedError

    def _opened(self, flow: Flow) -> None:
        if not self._flow.done():
            self._flow.set_result(flow)


class TunnelAccept(Carrier):
    """`folder`: of an `Organization`; `address`: the local address to offer."""

    async def start(self) -> None:
        from farsite_signaling.identity import Identity, OrganizationTrust, load_public_key
        from farsite_signaling.peer.listener import TunnelListener
        from farsite_signaling.peer.options import PeerOptions
        from farsite_signaling.peer.router import EnvelopeRouter
        from farsite_signaling.peer.rtc import preload

        preload()
        folder = Path(self._arguments["folder"])
        self._router = EnvelopeRouter(self._send)
        listener = TunnelListener(
            identity=Identity.load(folder / "edge"),
            trust=OrganizationTrust((folder / "ca.pem").read_text()),
            grant_key=load_public_key((folder / "grant.pem").read_text()),
            acceptor=self,
            admit=lambda grant: None,
            options=PeerOptions(addresses=(self._arguments["address"],)),
            router=self._router,
        )
        await self._stack.enter_async_context(listener)

    async def accept(self, tunnel: Any, request: Any) -> Callable[[], asyncio.BaseProtocol]:
        from farsite_signaling.wire.stream import Priority

        if request.priority is Priority.INTERACTIVE:
            return Echo
        return lambda: StreamFlow(self._opened)

    async def _send(self, message: EnvelopeMessage) -> None:
        await self._signal(dump(message))

    async def signalled(self, line: str) -> None:
        message = parse_hub_message(line)
        assert isinstance(message, EnvelopeMessage | Undeliverable)
        self._router.receive(message)


class TunnelDial(TunnelAccept):
    async def start(self) -> None:
        from farsite_signaling.identity import Identity, OrganizationTrust
        from farsite_signaling.peer.dialer import open_tunnel
        from farsite_signaling.peer.options import PeerOptions
        from farsite_signaling.peer.router import EnvelopeRouter
        from farsite_signaling.wire.cloud_api import SessionTicket
        from farsite_signaling.wire.stream import ApiTarget, Priority

        folder = Path(self._arguments["folder"])
        self._router = EnvelopeRouter(self._send)
        self._tunnel = await open_tunnel(
            SessionTicket.model_validate(self._arguments["ticket"]),
            identity=Identity.load(folder / "client"),
            trust=OrganizationTrust((folder / "ca.pem").read_text()),
            router=self._router,
            options=PeerOptions(addresses=(self._arguments["address"],)),
        )
        await self._stack.enter_async_context(self._tunnel)
        await self._tunnel.create_connection(
            lambda: StreamFlow(self._opened), ApiTarget(), priority=Priority.BULK
        )

    async def trips(self, size: int, seconds: float) -> list[tuple[float, float]]:
        from farsite_signaling.wire.stream import ApiTarget

        reader, writer = await self._tunnel.open_stream(ApiTarget())
        try:
            return await trips(reader, writer, size, seconds)
        finally:
            writer.close()


class StockAccept(Carrier):
    """Unmodified aiortc."""

    async def start(self) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection

        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._stack.push_async_callback(self._pc.close)
        self._pc.on("datachannel", lambda channel: self._opened(ChannelFlow(channel)))

    async def signalled(self, line: str) -> None:
        from aiortc import RTCSessionDescription

        description = RTCSessionDescription(**json.loads(line))
        await self._pc.setRemoteDescription(description)
        if description.type == "offer":
            await self._pc.setLocalDescription(await self._pc.createAnswer())
            await self._describe()

    async def _describe(self) -> None:
        local = self._pc.localDescription
        await self._signal(json.dumps({"sdp": local.sdp, "type": local.type}))


class StockDial(StockAccept):
    async def start(self) -> None:
        await super().start()
        channel = self._pc.createDataChannel("bench")
        channel.on("open", lambda: self._opened(ChannelFlow(channel)))
        await self._pc.setLocalDescription(await self._pc.createOffer())
        await self._describe()


class LinkAccept(Carrier):
    """One of our links without a tunnel, called by a stock peer or by another. `address`: the local one to offer."""

    async def start(self) -> None:
        from farsite_signaling.peer.options import PeerOptions
        from farsite_signaling.peer.rtc import RtcLink, preload

        preload()
        self._link = RtcLink([], PeerOptions(addresses=(self._arguments["address"],)))
        self._stack.push_async_callback(self._link.close)

    async def signalled(self, line: str) -> None:
        answer, _ = await self._link.answer(json.loads(line)["sdp"])
        await self._signal(json.dumps({"sdp": answer, "type": "answer"}))

    async def flow(self) -> Flow:
        if not self._flow.done():
            await self._link.connected()
            self._begin()
        return await super().flow()

    def _begin(self) -> None:
        LinkFlow(self._link, self._opened)


class LinkDial(LinkAccept):
    async def start(self) -> None:
        await super().start()
        offer, _ = await self._link.offer()
        await self._signal(json.dumps({"sdp": offer, "type": "offer"}))

    async def signalled(self, line: str) -> None:
        await self._link.accept(json.loads(line)["sdp"])

    def _begin(self) -> None:
        flow = LinkFlow(self._link, self._opened)
        flow.channel_opened(self._link.open_channel("bench"), "bench")


class TcpAccept(Carrier):
    """`address`, `port`: where to listen."""

    async def start(self) -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: StreamFlow(self._opened), self._arguments["address"], self._arguments["port"]
        )
        self._stack.callback(server.close)


class TcpDial(Carrier):
    """`address`, `port`: where to connect to."""

    async def start(self) -> None:
        await asyncio.get_running_loop().create_connection(
            lambda: StreamFlow(self._opened), self._arguments["address"], self._arguments["port"]
        )


CARRIERS: dict[tuple[str, str], type[Carrier]] = {
    ("farsite", "accept"): TunnelAccept,
    ("farsite", "dial"): TunnelDial,
    ("aiortc", "accept"): StockAccept,
    ("aiortc", "dial"): StockDial,
    ("link", "accept"): LinkAccept,
    ("link", "dial"): LinkDial,
    ("mixed", "accept"): LinkAccept,
    ("chromium", "accept"): LinkAccept,
    ("mixed", "dial"): StockDial,
    ("tcp", "accept"): TcpAccept,
    ("tcp", "dial"): TcpDial,
}
