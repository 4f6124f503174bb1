"""`farsite open`, `farsite forward`: local ports into a site, kept open until interrupted."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, cast, get_args

import typer

from farsite_client.apiport import ApiPort
from farsite_client.cli.invocation import Invocation
from farsite_client.cli.names import serial
from farsite_client.device_web import check_stream, https_only
from farsite_client.forward import LocalPort, Streams
from farsite_client.keeper import SessionKeeper
from farsite_client.runtime import ErrorState, LocalPortState, SessionState, published, way
from farsite_client.session import RemoteSession, connect
from farsite_signaling.wire.errors import ErrorCode, FarsiteError
from farsite_signaling.wire.stream import DeviceTarget, Priority, Service

open_ = typer.Typer(add_completion=False, rich_markup_mode=None)
forward = typer.Typer(add_completion=False, rich_markup_mode=None)
Port = ApiPort | LocalPort


class Running:
    """A session kept open with one local port, and its line in `farsite status`."""

    def __init__(self, invocation: Invocation, command: str, edge: str, service: Service = "http") -> None:
        self.invocation = invocation
        self.service = service
        self.command = command
        self.edge = edge
        self.keeper = SessionKeeper(partial(connect, invocation.profile, edge))
        self.started = datetime.now(UTC)
        self.organization = invocation.profile.load().organization_name
        self._known: tuple[str, str] = (edge, "")
        self._port: tuple[Port, str, str | None] | None = None

    async def device_stream(self, device: str) -> Streams:
        session = await self.keeper.live()
        target = DeviceTarget(device=device, service=self.service)
        return await session.tunnel.open_stream(target, priority=Priority.INTERACTIVE)

    async def serve(
        self,
        port: Port,
        target: str,
        url: str | None,
        *,
        device: str | None = None,
        browser: bool = False,
    ) -> None:
        """Until cancelled, or until coming back is hopeless: then raises why.

        A `device` that cannot be reached this way is refused at once, not at the first connection.
        """
        async with AsyncExitStack() as stack:
            # The port first: a taken one is found out before a session is opened.
            await stack.enter_async_context(port)
            if sys.stderr.isatty():
                self.invocation.output.note(f"Opening a session with {self.edge} …")
            await stack.enter_async_context(self.keeper)
            if device is not None:
                await check_device(await self.keeper.live(), device, self.service)
                await check_stream(await self.keeper.live(), device, self.service)
                url = await self._way_in(port, device, url)
            self._port = (
                port,
                target,
                port.url if isinstance(port, ApiPort) else url and f"{url}:{port.port}/",
            )
            await stack.enter_async_context(published(self.invocation.profile.runtime, self.state))
            self._say_ready(browser)
            error = await self.keeper.ended()
        raise error or FarsiteError(ErrorCode.CLOSED, "The session ended.")

    async def _way_in(self, port: Port, device: str, url: str | None) -> str | None:
        """A page that is served by HTTPS only would send the browser to an address of the site."""
        if url is None or self.service != "http" or not await https_only(await self.keeper.live(), device):
            return url
        assert isinstance(port, LocalPort)
        self.service, port.guarded = "https", False
        self.invocation.output.note("It takes HTTPS only: the browser will warn of the device's certificate.")
        return "https://127.0.0.1"

    def _say_ready(self, browser: bool) -> None:
        assert self._port is not None and self.keeper.session is not None
        port, target, url = self._port
        status = self.keeper.session.status()
        token = {"token": port.token} if isinstance(port, ApiPort) else {}
        self.invocation.output.event(
            "ready",
            f"{target} is at {url or f'127.0.0.1:{port.port}'} ({way(status)}). Ctrl+C ends.",
            address="127.0.0.1",
            port=port.port,
            url=url,
            target=target,
            path=status.path,
            session=status.session,
            **token,
        )
        if browser and url is not None:
            typer.launch(url)

    def state(self) -> SessionState:
        keeper, session = self.keeper, self.keeper.session
        if session is not None:
            self._known = (session.edge_host.name, session.edge_host.id)
        error = self._last_error()
        return SessionState(
            pid=os.getpid(),
            command=self.command,
            edge=self._known[0],
            edge_id=self._known[1],
            organization=self.organization,
            state=keeper.state,
            started=self.started,
            updated=datetime.now(UTC),
            tunnel=session and session.status(),
            ports=[self._port_state()] if self._port else [],
            reconnects=keeper.reconnects,
            last_error=error,
        )

    def _last_error(self) -> ErrorState | None:
        """The session's or, if that came later, a connection's."""
        port = self._port[0] if self._port else None
        sources: list[SessionKeeper | LocalPort] = [self.keeper]
        if isinstance(port, LocalPort):
            sources.append(port)
        errors = [
            ErrorState(code=source.last_error.code, detail=source.last_error.detail, at=source.last_error_at)
            for source in sources
            if source.last_error is not None
        ]
        return max(errors, key=lambda error: error.at or self.started, default=None)

    def _port_state(self) -> LocalPortState:
        assert self._port is not None
        port, target, url = self._port
        shown = None if isinstance(port, ApiPort) else url
        return LocalPortState(
            address="127.0.0.1", port=port.port, target=target, url=shown, connections=port.connections
        )


async def check_device(session: RemoteSession, device: str, service: Service) -> None:
    """Raises `device_unknown`, `device_unreachable` saying what to do."""
    edge = session.edge_host.name
    found = await session.edge.device(device)
    if not found.managed:
        raise FarsiteError(
            ErrorCode.DEVICE_UNKNOWN,
            f"{device} is discovered but not managed. Add it: farsite device add {shlex.quote(edge)} {device}",
        )
    if service == "https" and found.https_port is None:
        raise FarsiteError(
            ErrorCode.DEVICE_UNREACHABLE, f"{device} is not known to have an HTTPS port. Leave https out."
        )


Target = Annotated[str, typer.Argument(metavar="EDGE[/DEVICE]")]
LocalPortNumber = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Local port; 0: any free one.")
]


@open_.command("open")
def open_command(
    ctx: typer.Context,
    target: Target,
    port: LocalPortNumber = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", " /--no-open", help="Open it in the browser.")
    ] = True,
    https: Annotated[bool, typer.Option("--https", help="Use the device's HTTPS port.")] = False,
) -> None:
    """Open a device's page in the browser, or the API of an edge host.

    A port on 127.0.0.1 leads there until this command is interrupted. Requests that other web pages make to it are
    refused.
    """
    invocation = Invocation(ctx)
    edge, device = _split(target)
    browser = browser and not invocation.output.as_json

    async def work() -> None:
        service: Service = "https" if https else "http"
        running = Running(invocation, "open", edge, service)
        if device is None:
            await running.serve(ApiPort(running.keeper.live, port=port), edge, None, browser=browser)
            return
        # TLS guards itself: a page with another name does not get past the certificate.
        local = LocalPort(partial(running.device_stream, device), port=port, guarded=not https)
        await running.serve(local, target, f"{service}://127.0.0.1", device=device, browser=browser)

    invocation.serve(work())


@forward.command("forward")
def forward_command(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="EDGE/DEVICE[:http|https|rtsp]")],
    local_port: Annotated[int, typer.Argument(min=0, max=65535, help="Local port; 0: any free one.")] = 0,
) -> None:
    """Forward a TCP port on 127.0.0.1 to a device's HTTP, HTTPS or RTSP port, for any program on this machine.

    RTSP has to carry its media in the same connection: ffplay -rtsp_transport tcp rtsp://127.0.0.1:PORT/axis-media/media.amp
    """
    invocation = Invocation(ctx)
    name, service = _service(target)
    edge, device = _split(name)
    if device is None:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "Name the device too: EDGE/DEVICE[:http|https|rtsp]")

    async def work() -> None:
        running = Running(invocation, "forward", edge, service)
        stream = partial(running.device_stream, device)
        await running.serve(
            LocalPort(stream, port=local_port, guarded=False),
            f"{name}:{service}",
            None,
            device=device,
        )

    invocation.serve(work())


def _service(target: str) -> tuple[str, Service]:
    """Raises `invalid_request` for a service there is not; a serial number may have colons of its own."""
    edge, slash, device = target.rpartition("/")
    name, colon, service = device.rpartition(":")
    if service in get_args(Service):
        return f"{edge}{slash}{name}", cast(Service, service)
    if not colon or serial(device) != device:
        return target, "http"
    known = ", ".join(get_args(Service))
    raise FarsiteError(ErrorCode.INVALID_REQUEST, f"{service[:20]!r} cannot be forwarded to: {known}.")


def _split(target: str) -> tuple[str, str | None]:
    """Edge host and device; an edge host's name may hold slashes, a device's serial number cannot."""
    edge, slash, device = target.rpartition("/")
    if not slash:
        return target, None
    if not edge or not device:
        raise FarsiteError(ErrorCode.INVALID_REQUEST, "Write it as EDGE or EDGE/DEVICE.")
    return edge, serial(device)
