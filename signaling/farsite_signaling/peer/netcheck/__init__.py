"""What works from here and what does not: names, UDP, NAT, proxy, hub, and every TURN server by every transport."""

from farsite_signaling.peer.netcheck.check import netcheck
from farsite_signaling.peer.netcheck.target import Target

__all__ = ["Target", "netcheck"]
