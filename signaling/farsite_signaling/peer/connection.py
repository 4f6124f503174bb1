"""aiortc's peer connection with our own ICE and SCTP inside: the one place that knows its private names.

Imports aiortc: import this module inside functions only. `tests/signaling/peer/test_guard_names.py` fails and names
what moved when an update of aiortc or aioice changes something used here.
"""

from __future__ import annotations

from typing import Any, cast

from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport

from farsite_signaling.peer.dtls import DtlsTransport
from farsite_signaling.peer.ice import IceConnection
from farsite_signaling.peer.sctp import SctpTransport


class Gatherer(RTCIceGatherer):
    """Returns with host candidates and stays `gathering` until the last server has answered."""

    def __init__(self, ice: IceConnection) -> None:
        super().__init__(iceServers=[])
        self._connection = ice

    async def gather(self) -> None:
        if self.state == "new":
            self._RTCIceGatherer__setState("gathering")  # type: ignore[attr-defined]
            await self._connection.gather_candidates()
            if cast(IceConnection, self._connection).gathered:
                self.finish()

    def finish(self) -> None:
        self._RTCIceGatherer__setState("completed")  # type: ignore[attr-defined]


class PeerConnection(RTCPeerConnection):
    """One ICE connection, one DTLS transport, one SCTP association."""

    def __init__(self, ice: IceConnection) -> None:
        super().__init__(RTCConfiguration(iceServers=[]))
        self.ice = ice
        self.gatherer = Gatherer(ice)
        self.association: SctpTransport
        self._RTCPeerConnection__createSctpTransport()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of our DTLS certificate, upper-case hex with colons."""
        certificate = cast(Any, self)._RTCPeerConnection__certificates[0]
        found = [print_.value for print_ in certificate.getFingerprints() if print_.algorithm == "sha-256"]
        return str(found[0]).upper()

    @property
    def waits_for_candidates(self) -> bool:
        """Both descriptions are set, and checks have not started for want of a local candidate."""
        return self.remoteDescription is not None and self.association.transport.transport.state == "new"

    async def resume_connect(self) -> None:
        """Start checking when the first local candidate came after both descriptions were set."""
        await cast(Any, self)._RTCPeerConnection__connect()

    # The library creates its transports in private methods; ours take their place.

    def _RTCPeerConnection__createDtlsTransport(self) -> DtlsTransport:
        private = cast(Any, self)
        self.gatherer.on("statechange", private._RTCPeerConnection__updateIceGatheringState)
        transport = RTCIceTransport(self.gatherer)
        transport.on("statechange", private._RTCPeerConnection__updateIceConnectionState)
        transport.on("statechange", private._RTCPeerConnection__updateConnectionState)
        private._RTCPeerConnection__iceTransports.add(transport)
        dtls = DtlsTransport(transport, private._RTCPeerConnection__certificates)
        dtls.on("statechange", private._RTCPeerConnection__updateConnectionState)
        private._RTCPeerConnection__dtlsTransports.add(dtls)
        private._RTCPeerConnection__updateIceGatheringState()
        private._RTCPeerConnection__updateIceConnectionState()
        private._RTCPeerConnection__updateConnectionState()
        return dtls

    def _RTCPeerConnection__createSctpTransport(self) -> None:
        self.association = SctpTransport(self._RTCPeerConnection__createDtlsTransport())
        self.association._bundled = False
        self.association.mid = None
        self.association.on("datachannel", lambda channel: self.emit("datachannel", channel))
        cast(Any, self)._RTCPeerConnection__sctp = self.association
