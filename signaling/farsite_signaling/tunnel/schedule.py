"""Which stream speaks next: notices, then interactive data, then bulk; in turn among equals."""

from __future__ import annotations

from collections import deque

from farsite_signaling.tunnel.limits import Limits
from farsite_signaling.tunnel.stream import Stream
from farsite_signaling.wire.stream import Priority

_BULK_AFTER = 8
"""Interactive frames in a row after which waiting bulk gets one: many small streams must not starve it."""


class Scheduler:
    def __init__(self, limits: Limits) -> None:
        self._backlog = limits.interactive_backlog
        self._notices: deque[Stream] = deque()
        self._interactive: deque[Stream] = deque()
        self._bulk: deque[Stream] = deque()
        self._in_a_row = 0

    def has_notice(self, stream: Stream) -> None:
        if not stream.noticed:
            stream.noticed = True
            self._notices.append(stream)

    def has_data(self, stream: Stream) -> None:
        if stream.lined_up:
            return
        stream.lined_up = True
        line = self._bulk if self._is_bulk(stream) else self._interactive
        line.append(stream)

    def next_frame(self) -> tuple[Stream, bytes] | None:
        return self._next_notice() or self._next_data()

    def clear(self) -> None:
        """Forget who waited: the link is gone."""
        for stream in self._notices:
            stream.noticed = False
        for line in (self._interactive, self._bulk):
            for stream in line:
                stream.lined_up = False
            line.clear()
        self._notices.clear()

    def _is_bulk(self, stream: Stream) -> bool:
        """By what it asked for, and while it has much waiting: bulk until all of that went out."""
        if stream.request.priority is Priority.BULK:
            return True
        if stream.waiting > self._backlog:
            stream.bulk = True
        elif not stream.waiting:
            stream.bulk = False
        return stream.bulk

    def _next_notice(self) -> tuple[Stream, bytes] | None:
        while self._notices:
            stream = self._notices.popleft()
            stream.noticed = False
            if stream.channel is None or not stream.has_notice:
                continue
            frame = stream.next_notice()
            if stream.has_notice:
                self.has_notice(stream)
            return stream, frame
        return None

    def _next_data(self) -> tuple[Stream, bytes] | None:
        while line := self._line():
            stream = line.popleft()
            stream.lined_up = False
            if stream.channel is None or not stream.sendable:
                continue
            frame = stream.next_data()
            if stream.sendable:
                self.has_data(stream)
            return stream, frame
        return None

    def _line(self) -> deque[Stream] | None:
        if self._interactive and not (self._bulk and self._in_a_row >= _BULK_AFTER):
            self._in_a_row += 1
            return self._interactive
        self._in_a_row = 0
        return self._bulk or None
