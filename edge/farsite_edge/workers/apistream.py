"""Main's end of a stream to the API: a socket pair that says whose it is, and nothing else of itself."""

from __future__ import annotations

import asyncio
from asyncio.constants import _SendfileMode
from collections.abc import Callable, Iterable
from typing import Any

Buffer = bytes | bytearray | memoryview


class TunnelTransport(asyncio.Transport):
    """What the API's protocol sees. Its extra information is the session's: a unix socket is the local administrator's
    way in, and this one must never be taken for it."""

    # aiohttp sends files by writing them.
    _sendfile_compatible = _SendfileMode.UNSUPPORTED

    def __init__(self, inner: asyncio.Transport, extra: dict[str, Any]) -> None:
        super().__init__(extra)
        self._inner = inner
        self._protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def is_reading(self) -> bool:
        return self._inner.is_reading()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def write(self, data: Buffer) -> None:
        self._inner.write(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        self._inner.writelines(list_of_data)

    def write_eof(self) -> None:
        self._inner.write_eof()

    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._inner.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._inner.set_write_buffer_limits(high, low)


class ApiStream(asyncio.Protocol):
    """The socket's protocol: hands everything to the API's, which `make` makes. `on_lost` is called at the end."""

    def __init__(
        self,
        make: Callable[[], asyncio.BaseProtocol],
        extra: dict[str, Any],
        on_lost: Callable[[ApiStream], None],
    ) -> None:
        self._inner: Any = make()
        self._extra = extra
        self._on_lost = on_lost
        self.transport: TunnelTransport | None = None

    @property
    def _target(self) -> Any:
        return self.transport.get_protocol() if self.transport is not None else self._inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = TunnelTransport(transport, self._extra)  # type: ignore[arg-type]
        self.transport.set_protocol(self._inner)
        self._inner.connection_made(self.transport)

    def data_received(self, data: bytes) -> None:
        self._target.data_received(data)

    def eof_received(self) -> bool | None:
        kept: bool | None = self._target.eof_received()
        return kept

    def pause_writing(self) -> None:
        self._target.pause_writing()

    def resume_writing(self) -> None:
        self._target.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self)
        self._target.connection_lost(exc)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
