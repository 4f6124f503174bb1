"""What came of looking for ways to the other side: shown when a tunnel opens, and when it does not."""

from __future__ import annotations

from dataclasses import dataclass, field

from farsite_signaling.peer.servers import RelayTransport
from farsite_signaling.wire.errors import ErrorCode, FarsiteError


@dataclass
class GatheringReport:
    """`relays`: allocations made. `problems`: why others were not, by server URL."""

    hosts: list[str] = field(default_factory=list)
    reflexive: list[str] = field(default_factory=list)
    relays: list[RelayTransport] = field(default_factory=list)
    problems: dict[str, FarsiteError] = field(default_factory=dict)
    stun_asked: int = 0
    udp_relays_failed: int = 0

    @property
    def udp_blocked(self) -> bool:
        """Somebody was asked over UDP and nobody answered."""
        answered = bool(self.reflexive) or RelayTransport.UDP in self.relays
        return not answered and (self.stun_asked > 0 or self.udp_relays_failed > 0)

    def describe(self) -> str:
        """What was tried, in one sentence or two."""
        offered = [f"{len(self.hosts)} local address{'' if len(self.hosts) == 1 else 'es'}"]
        if self.reflexive:
            offered.append(f"{', '.join(self.reflexive)} (from STUN)")
        offered += [f"a relay over {relay.upper()}" for relay in self.relays]
        text = f"Tried {', '.join(offered)}."
        if self.udp_blocked:
            text += " No server answered over UDP: it seems blocked here."
        for error in self.problems.values():
            text += f" {error.detail.rstrip('.')}."
        return text

    def blame(self, *, relay_only: bool) -> ErrorCode:
        """The code that says best what to do when no way was found."""
        codes = {error.code for error in self.problems.values()}
        if not self.relays:
            for code in (ErrorCode.PROXY_AUTHENTICATION, ErrorCode.PROXY_UNREACHABLE):
                if code in codes:
                    return code
            if relay_only:
                return ErrorCode.TURN_UNAVAILABLE
        return ErrorCode.PEER_UNREACHABLE
