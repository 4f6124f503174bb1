"""An SCTP association (RFC 9260) for data channels (RFC 8831), without I/O: packets, time and messages in;
packets, events and the next deadline out.

    packets.py     what is on the wire            outbox.py      messages waiting, by turns
    handshake.py   INIT and cookie                flight.py      what was sent and not acknowledged
    receiving.py   numbers seen, SACKs            loss.py        when something sent counts as lost
    reassembly.py  fragments to messages          congestion.py  how fast, how much at once
    resets.py      closing streams (RFC 6525)     pacing.py      spread over time
    association.py all of it together             channels.py    opening channels (RFC 8832)

Time is monotonic, in seconds, from whatever origin. Nothing here reads a clock.
"""

from farsite_signaling.peer.association.association import Association
from farsite_signaling.peer.association.events import AssociationEvents
from farsite_signaling.peer.association.settings import Settings

__all__ = ["Association", "AssociationEvents", "Settings"]
