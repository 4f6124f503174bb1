"""Private names of aiortc and aioice that we use: says which one an update moved."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

# Class or function (module, name), and names its instances or its source must still know.
INSTANCE_NAMES: dict[tuple[str, str], list[str]] = {
    ("aiortc.rtcpeerconnection", "RTCPeerConnection"): [
        "__certificates",
        "__iceTransports",
        "__dtlsTransports",
        "__sctp",
        "__createDtlsTransport",
        "__createSctpTransport",
        "__connect",
        "__updateIceGatheringState",
        "__updateIceConnectionState",
        "__updateConnectionState",
    ],
    ("aiortc.rtcicetransport", "RTCIceGatherer"): ["_connection", "__setState"],
    ("aiortc.rtcicetransport", "RTCIceTransport"): ["iceGatherer", "_connection", "_role_set"],
    ("aiortc.rtcsctptransport", "RTCSctpTransport"): [
        "_bundled",
        "_data_channels",
        "_data_channel_add_negotiated",
        "_data_channel_close",
        "_data_channel_open",
        "_data_channel_send",
        "_handle_data",
        "getCapabilities",
        "is_server",
    ],
    ("aiortc.rtcdatachannel", "RTCDataChannel"): ["_setId", "_setReadyState"],
    ("aiortc.rtcdtlstransport", "RTCDtlsTransport"): [
        "_data_receiver",
        "_register_data_receiver",
        "_role",
        "_ssl",
        "_state",
        "_transport",
        "_unregister_data_receiver",
    ],
    ("OpenSSL.SSL", "Connection"): ["_from_ssl", "_into_ssl", "_ssl"],
    ("aioice.ice", "Connection"): [
        "_check_list",
        "_check_list_done",
        "_check_list_maybe_complete",
        "_check_list_maybe_fail",
        "_check_list_state",
        "_check_periodic",
        "_closing",
        "_early_checks",
        "_early_checks_done",
        "_local_candidates",
        "_local_candidates_end",
        "_local_candidates_start",
        "_nominated",
        "_pair_remote_candidate",
        "_protocols",
        "_query_consent_task",
        "_queue",
        "_remote_candidates",
        "_remote_candidates_end",
        "_remote_candidates_expected",
        "_unfreeze_initial",
        "build_request",
        "check_complete",
        "check_incoming",
        "check_start",
        "check_state",
        "query_consent",
        "sort_check_list",
        "switch_role",
    ],
    ("aioice.ice", "StunProtocol"): ["receiver", "transactions", "transport", "local_candidate"],
    ("aioice.stun", "Transaction"): ["__timeout_delay"],
    ("aioice.turn", "TurnClientMixin"): [
        "_send",
        "channel_refresh_at",
        "connect",
        "delete",
        "mapped_address",
        "peer_to_channel",
        "receiver",
        "refresh_task",
        "send_data",
        "server",
    ],
}

USED_BY_CALLERS: list[tuple[str, str, str]] = [
    # Who calls what we replaced: when the library stops calling it, ours is dead code.
    ("aiortc.rtcpeerconnection", "RTCPeerConnection", "self.__createDtlsTransport()"),
    ("aiortc.rtcpeerconnection", "RTCPeerConnection", "self.__createSctpTransport()"),
    ("aiortc.rtcpeerconnection", "RTCPeerConnection", "iceTransport.iceGatherer.getLocalCandidates()"),
    ("aiortc.rtcicetransport", "RTCIceTransport", "gatherer._connection"),
    ("aioice.ice", "Connection", "self.check_start(pair)"),
    ("aioice.ice", "Connection", "self._remote_candidates_expected()"),
    ("aioice.ice", "Connection", "self.check_incoming(message, addr, protocol)"),
    ("aioice.ice", "Connection", "self._pair_remote_candidate(remote_candidate)"),
    ("aioice.stun", "Transaction", "call_later(self.__timeout_delay, self.__retry)"),
    ("aiortc.rtcpeerconnection", "RTCPeerConnection", "await self.__sctp.start("),
    ("aiortc.rtcpeerconnection", "RTCPeerConnection", "await self.__sctp.stop()"),
    ("aiortc.rtcpeerconnection", "RTCPeerConnection", "RTCDataChannel(self.__sctp, parameters)"),
    ("aiortc.rtcdatachannel", "RTCDataChannel", "self.__transport._data_channel_open(self)"),
    ("aiortc.rtcdatachannel", "RTCDataChannel", "self.transport._data_channel_close(self)"),
    ("aiortc.rtcdatachannel", "RTCDataChannel", "self.transport._data_channel_send(self, data)"),
    ("aiortc.rtcdtlstransport", "RTCDtlsTransport", "await self._data_receiver._handle_data(data)"),
    ("aiortc.rtcdtlstransport", "RTCDtlsTransport", 'self.emit("statechange")'),
    ("aioice.ice", "Connection", "result = await self._queue.get() if result is None: raise ConnectionError"),
]


def source(module: str, name: str) -> str:
    found: Any = getattr(__import__(module, fromlist=[name]), name)
    return inspect.getsource(found)


@pytest.mark.parametrize("where", INSTANCE_NAMES, ids=lambda where: where[1])
def test_names_are_where_they_were(where: tuple[str, str]) -> None:
    text = source(*where)
    moved = [name for name in INSTANCE_NAMES[where] if f"{name}" not in text]
    assert moved == [], f"{where[0]}.{where[1]} no longer knows {moved}; see farsite_signaling.peer"


@pytest.mark.parametrize(("module", "name", "call"), USED_BY_CALLERS)
def test_what_we_replace_is_still_called(module: str, name: str, call: str) -> None:
    text = " ".join(source(module, name).split())
    assert call in text, f"{module}.{name} no longer calls {call!r}; our replacement would not run"


def test_the_binding_of_openssl_has_what_batches_need() -> None:
    from OpenSSL._util import lib

    names = ["BIO_read", "BIO_write", "ERR_clear_error", "SSL_get_error", "SSL_read", "SSL_write"]
    assert [name for name in names if not hasattr(lib, name)] == [], "see farsite_signaling.peer.dtls"


async def test_our_attributes_do_not_hide_the_librarys() -> None:
    from aioice import Connection
    from aiortc import RTCConfiguration, RTCPeerConnection

    from farsite_signaling.peer.connection import PeerConnection
    from farsite_signaling.peer.ice import IceConnection
    from farsite_signaling.peer.options import PeerOptions

    ours = PeerConnection(IceConnection([], [], PeerOptions()))
    stock = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    stock.createDataChannel("any")
    assert hidden(ours.ice, Connection(ice_controlling=False)) == set()
    assert hidden(ours.association, stock.sctp) == set()
    assert hidden(ours.association.transport, stock.sctp.transport) == set()
    assert hidden(ours, stock) == set()
    await ours.close()
    await stock.close()


def hidden(ours: Any, stock: Any) -> set[str]:
    """Attributes that our constructor sets and the library has too."""
    assigned = set(re.findall(r"self\.(\w+)(?:: [^=]+)? =", inspect.getsource(type(ours).__init__)))
    return assigned & (set(vars(stock)) | set(dir(type(stock))))
