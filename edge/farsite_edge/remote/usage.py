"""How much went to and from each device's own pages in a session, for the audit log."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from farsite_edge.remote.splice import Splice

MAX_KEPT = 10_000


@dataclass
class DeviceUse:
    """Bytes as the edge host sees them: sent to the user, received from the user."""

    device: str
    since: float
    streams: int = 0
    sent: int = 0
    received: int = 0
    live: set[Splice] = field(default_factory=set)

    @property
    def bytes(self) -> tuple[int, int]:
        """Sent, received; what is under way too."""
        live = [splice.counts for splice in self.live]
        return self.sent + sum(down for _, down in live), self.received + sum(up for up, _ in live)

    def details(self, now: float) -> dict[str, object]:
        sent, received = self.bytes
        return {
            "streams": self.streams,
            "bytes_sent": sent,
            "bytes_received": received,
            "seconds": round(now - self.since, 1),
        }


class Usage:
    """`end` gives what a session used so far, and forgets it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uses: OrderedDict[tuple[str, str], DeviceUse] = OrderedDict()

    def splice(self, session: str, device: str) -> Splice:
        """For one stream to the device; counted from now on."""
        use = self._uses.setdefault((session, device), DeviceUse(device, self._clock()))
        if len(self._uses) > MAX_KEPT:
            self._uses.popitem(last=False)
        use.streams += 1
        splice = Splice(lambda up, down: self._closed(use, splice, up, down))
        use.live.add(splice)
        return splice

    def _closed(self, use: DeviceUse, splice: Splice, up: int, down: int) -> None:
        use.live.discard(splice)
        use.received += up
        use.sent += down

    def drop(self, session: str, device: str, splice: Splice) -> None:
        """The stream did not come about."""
        use = self._uses.get((session, device))
        if use is None:
            return
        use.live.discard(splice)
        use.streams -= 1
        if use.streams == 0:
            del self._uses[session, device]

    def so_far(self, session: str) -> list[tuple[str, int, int, int]]:
        """Devices, with streams and bytes sent and received; forgets nothing."""
        uses = [use for (owner, _), use in self._uses.items() if owner == session]
        return [(use.device, use.streams, *use.bytes) for use in uses]

    def allowed(self, session: str, device: str) -> None:
        """Another process will use the device, and say how much by `report`."""
        self._uses.setdefault((session, device), DeviceUse(device, self._clock()))
        if len(self._uses) > MAX_KEPT:
            self._uses.popitem(last=False)

    def report(self, session: str, device: str, *, streams: int, sent: int, received: int) -> None:
        """What another process used in all; never of a device that it was not allowed, and never less than before."""
        use = self._uses.get((session, device))
        if use is not None:
            use.streams = max(use.streams, streams)
            use.sent = max(use.sent, sent)
            use.received = max(use.received, received)

    def end(self, session: str) -> list[tuple[str, dict[str, object]]]:
        """Devices and what was used of each."""
        keys = [key for key in self._uses if key[0] == session]
        now = self._clock()
        ended = [(device, self._uses.pop((session, device))) for _, device in keys]
        return [(device, use.details(now)) for device, use in ended if use.streams]
