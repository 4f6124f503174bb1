"""ICE (RFC 8445, RFC 8838) on aioice: several servers in parallel, candidates trickled, direct paths preferred.

    gather_candidates()      host candidates at once; STUN and TURN go on behind
    on_candidate(c)          what they find, paired with what the peer has already sent
    on_gathered()            end of candidates

Imports aioice: import this module inside functions only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import ICE_COMPLETED, ICE_FAILED, CandidatePair, StunProtocol, candidate_pair_priority

from farsite_signaling.peer import relay
from farsite_signaling.peer.addresses import Address, host_addresses, open_udp
from farsite_signaling.peer.gathering import GatheringReport
from farsite_signaling.peer.ice_protocol import IceProtocol
from farsite_signaling.peer.network_memory import NetworkMemory
from farsite_signaling.peer.options import PeerOptions
from farsite_signaling.peer.path_mtu import first_hop, keep_whole
from farsite_signaling.peer.servers import PREFERENCE, RelayTransport, StunServer, TurnServer
from farsite_signaling.peer.tasks import TaskOwner
from farsite_signaling.wire.errors import ErrorCode, FarsiteError

logger = logging.getLogger(__name__)

PACE = 0.005
"""Between checks, the least that RFC 8445 section 14.2 allows (aioice: 20 ms); what is found meanwhile ends them."""
MAX_REMOTE_CANDIDATES = 64
MAX_HOLD = 0.8
RELAY_STAGGER = 0.1
"""Head start of a better transport to TURN, seconds. A worse one is not tried once a better one has answered."""
IDLE_RELAY = 15.0
"""Once connected, allocations that carry nothing are given back after this long, seconds."""
COMPONENT = 1


class IceConnection(Connection):
    """`on_candidate` and `on_gathered` are set by the owner before gathering starts."""

    def __init__(
        self, stun_servers: list[StunServer], turn_servers: list[TurnServer], options: PeerOptions
    ) -> None:
        super().__init__(ice_controlling=False)
        self.report = GatheringReport()
        self.on_candidate: Callable[[Candidate], None] = lambda candidate: None
        self.on_gathered: Callable[[], None] = lambda: None
        self.sink: Callable[[bytes | memoryview, int], None] | None = None
        """Takes DTLS records, several of one length at a time; set once the handshake is done."""
        self._options = options
        self._stun_servers = stun_servers
        self._turn_servers = turn_servers
        self._memory = NetworkMemory(Path(options.network_memory)) if options.network_memory else None
        self._remembered: RelayTransport | None = None
        self._tasks = TaskOwner("ice")
        self._gathering = False
        self._held: list[CandidatePair] = []
        self._hold_until = 0.0
        self._hold_end = 0.0

    # data

    def send_records(self, data: memoryview, segment: int) -> None:
        """Datagrams of `segment` bytes each, the last one maybe shorter. Raises `ConnectionError`."""
        pair = self.selected
        if pair is None:
            raise ConnectionError("Cannot send data, not connected")
        cast(IceProtocol, pair.protocol).send_records(data, segment, pair.remote_addr)

    def end_of_data(self) -> None:
        """The peer has closed DTLS: whoever reads from the queue hears of it."""
        self._queue.put_nowait(None)

    # gathering

    @property
    def proxied(self) -> bool:
        return self._options.proxy is not None

    @property
    def relay_only(self) -> bool:
        return self._options.relay_only

    @property
    def gathered(self) -> bool:
        return self._local_candidates_end and not self._gathering

    async def gather_candidates(self) -> None:
        """Host candidates; returns before servers have answered."""
        if self._local_candidates_start:
            return
        self._local_candidates_start = True
        for address in host_addresses(self._options):
            await self._gather_host(address)
        self._local_candidates_end = True
        if self._memory is not None and self._turn_servers:
            self._remembered = self._memory.recall()
        self._gathering = bool(self._stun_servers or self._turn_servers)
        if self._gathering:
            self._tasks.spawn(self._gather_servers(), "gather")

    async def _gather_host(self, address: str) -> None:
        try:
            _, protocol = await open_udp(lambda: IceProtocol(self), address, self._options.ports)
        except (OSError, FarsiteError) as error:
            logger.info("no host candidate on %s: %s", address, error)
            return
        host, port = protocol.transport.get_extra_info("sockname")[:2]
        protocol.local_candidate = _candidate("host", host, port)
        self._protocols.append(protocol)
        self._local_candidates.append(protocol.local_candidate)
        self.report.hosts.append(host)

    async def _gather_servers(self) -> None:
        protocols = [p for p in self._protocols if _version(p.local_candidate.host) == 4]
        work = [
            self._gather_reflexive(cast(IceProtocol, protocol), server)
            for protocol in protocols
            for server in self._stun_servers
        ]
        work += [self._gather_relay(server) for server in self._turn_servers]
        try:
            async with asyncio.timeout(self._options.gather_timeout), asyncio.TaskGroup() as group:
                for number, coroutine in enumerate(work):
                    group.create_task(coroutine, name=f"ice:gather-{number}")
        except TimeoutError:
            logger.info("some STUN or TURN servers have not answered")
        finally:
            self._gathering = False
        self.on_gathered()
        if self._early_checks_done and not self._check_list_maybe_complete():
            self._check_list_maybe_fail()

    async def _gather_reflexive(self, protocol: IceProtocol, server: StunServer) -> None:
        self.report.stun_asked += 1
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        try:
            _, address = await relay.resolve(server.host, server.port)
            if _version(address[0]) != 4:
                return
            response, _ = await protocol.request(request, address)
            host, port = response.attributes["XOR-MAPPED-ADDRESS"]
        except (OSError, stun.TransactionError, KeyError) as error:
            logger.info("stun:%s:%s: %s", server.host, server.port, error)
            return
        self._add_reflexive(protocol, host, port)

    def _add_reflexive(self, protocol: IceProtocol, host: str, port: int) -> None:
        base = protocol.local_candidate
        self.report.reflexive.append(f"{host}:{port}")
        if any(known.host == host and known.port == port for known in self._local_candidates):
            return
        self._announce(_candidate("srflx", host, port, base=(base.host, base.port)))

    async def _gather_relay(self, server: TurnServer) -> None:
        await asyncio.sleep(RELAY_STAGGER * self._head_starts(server))
        if self._closing or self._has_better_relay(server):
            return
        protocol = IceProtocol(self)
        protocol.relay_server = server
        try:
            transport = await relay.allocate(server, protocol, self._options)
        except FarsiteError as error:
            logger.info("%s", error)
            self.report.problems[server.url] = error
            self.report.udp_relays_failed += server.transport is RelayTransport.UDP
            return
        self._add_relay(protocol, transport, server)

    def _head_starts(self, server: TurnServer) -> int:
        """None for what worked here when UDP did not; UDP is asked too, for that may have changed."""
        if server.transport is self._remembered:
            return 0
        return len({other.transport for other in self._better(server)})

    def _better(self, server: TurnServer) -> list[TurnServer]:
        rank = PREFERENCE.index(server.transport)
        return [other for other in self._turn_servers if PREFERENCE.index(other.transport) < rank]

    def _has_better_relay(self, server: TurnServer) -> bool:
        have = [p.relay_server for p in self._protocols if isinstance(p, IceProtocol)]
        return any(other in have for other in self._better(server))

    def _add_relay(
        self, protocol: IceProtocol, transport: relay.RelayedTransport, server: TurnServer
    ) -> None:
        if self._closing or self._check_list_done:
            transport.close()
            return
        host, port = transport.get_extra_info("sockname")
        # The related address would tell the peer our address (RFC 9429 section 3.5.3).
        base = ("0.0.0.0" if _version(host) == 4 else "::", 9)  # noqa: S104
        preference = 65535 - PREFERENCE.index(server.transport)
        protocol.local_candidate = _candidate("relay", host, port, base=base, preference=preference)
        self._protocols.append(protocol)
        self.report.relays.append(server.transport)
        if self._remembered is not None and self._memory is not None and server.transport is PREFERENCE[0]:
            self._memory.open()
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._announce(protocol.local_candidate)

    def _announce(self, candidate: Candidate) -> None:
        self._local_candidates.append(candidate)
        self.on_candidate(candidate)

    # checking

    async def connect(self) -> None:
        """As aioice's, at our own pace. Raises `ConnectionError`."""
        if not self._local_candidates_end or self.remote_username is None or self.remote_password is None:
            raise ConnectionError("Checks need local candidates and the remote user name and password")
        self._hold_end = asyncio.get_running_loop().time() + MAX_HOLD
        for candidate in self._remote_candidates:
            self._pair_remote_candidate(candidate)
        self.sort_check_list()
        self._unfreeze_initial()
        for early in self._early_checks:
            self.check_incoming(*early)
        self._early_checks.clear()
        self._early_checks_done = True
        outcome = await self._check()
        for pair in self._check_list:
            if pair.task is not None:
                pair.task.cancel()
        if outcome != ICE_COMPLETED:
            raise ConnectionError("ICE negotiation failed")
        loop = asyncio.get_running_loop()
        self._query_consent_task = loop.create_task(self.query_consent(), name="ice:consent")
        self._tasks.spawn(self._release_idle_relays(), "release")
        self._remember()

    def _remember(self) -> None:
        """A relay carries us, and none has answered over UDP, which was asked first."""
        relay_server = cast(IceProtocol, self.selected.protocol).relay_server if self.selected else None
        if self._memory is None or relay_server is None or self.report.relays.count(PREFERENCE[0]):
            return
        if self._asked_over_udp and relay_server.transport is not self._remembered:
            self._memory.blocked(relay_server.transport)

    @property
    def _asked_over_udp(self) -> bool:
        return any(server.transport is PREFERENCE[0] for server in self._turn_servers)

    async def _check(self) -> int:
        """Start checks one after another until there is an outcome."""
        while self._check_periodic():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PACE):
                    return await self._check_list_state.get()
        return await self._check_list_state.get() if self._check_list else ICE_FAILED

    def check_incoming(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        """A check that came in opens the peer's NAT for ours: one under way is repeated (RFC 8445 section 7.3.1.4)."""
        super().check_incoming(message, addr, protocol)
        for pair in self._check_list:
            if pair.protocol is protocol and pair.remote_addr == addr:
                if pair.state == CandidatePair.State.IN_PROGRESS:
                    cast(IceProtocol, protocol).repeat(addr)
                return

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Passes over what a peer may say but nobody should use."""
        if self._remote_candidates_end or self._closing:
            return
        if remote_candidate is not None and not self._acceptable(remote_candidate):
            return
        await super().add_remote_candidate(remote_candidate)

    def _acceptable(self, candidate: Candidate) -> bool:
        if len(self._remote_candidates) >= MAX_REMOTE_CANDIDATES or candidate.component != COMPONENT:
            return False
        if self._options.direct_only and candidate.type == "relay":
            return False
        if candidate.transport.lower() != "udp" or not 0 < candidate.port < 65536:
            return False
        try:  # names (mDNS above all) would cost a lookup; their owner's checks reveal the address anyway
            ipaddress.ip_address(candidate.host)
        except ValueError:
            return False
        return True

    def _remote_candidates_expected(self) -> bool:
        """Nothing has failed while candidates of either side are still to come, or a relay is held back."""
        return self._gathering or bool(self._held) or super()._remote_candidates_expected()

    def _pair_remote_candidate(self, remote_candidate: Candidate) -> None:
        known = len(self._check_list)
        super()._pair_remote_candidate(remote_candidate)
        for pair in self._check_list[known:]:
            if _senseless(pair):
                self._check_list.remove(pair)
            elif not _relayed(pair):
                self._extend_hold()

    def _extend_hold(self) -> None:
        """A direct pair is new: give it its time before a relay is settled for."""
        self._hold_until = asyncio.get_running_loop().time() + self._options.relay_hold

    async def check_start(self, pair: CandidatePair) -> None:
        """Direct pairs are nominated with their first check, relayed ones only when no direct pair has won."""
        if not self.ice_controlling or self.remote_is_lite or not _relayed(pair):
            await super().check_start(pair)
            return
        self.check_state(pair, CandidatePair.State.IN_PROGRESS)
        if not await self._request(pair, nominate=False):
            return
        if not self._held:
            self._tasks.spawn(self._nominate_relay(), "nominate")
        self._held.append(pair)
        pair.task = None

    async def _request(self, pair: CandidatePair, *, nominate: bool) -> bool:
        assert self.remote_password is not None
        request = self.build_request(pair, nominate=nominate)
        key = self.remote_password.encode()
        try:
            _, address = await pair.protocol.request(request, pair.remote_addr, integrity_key=key)
        except stun.TransactionError as error:
            if error.response is not None and error.response.error_code == 487:
                self.switch_role(ice_controlling="ICE-CONTROLLED" in request.attributes)
            self._fail_pair(pair)
            return False
        if address != pair.remote_addr:
            self._fail_pair(pair)
            return False
        return True

    async def _nominate_relay(self) -> None:
        """Wait until direct pairs had their chance, then take the best relayed pair that answers."""
        while (left := self._hold_left()) > 0:  # noqa: ASYNC110 - moved on by every new direct pair
            await asyncio.sleep(left)
        while self._held and not self._nominated and not self._closing:
            pair = max(self._held, key=self._priority)
            if await self._request(pair, nominate=True):
                self._succeed(pair)
            if pair in self._held:
                self._held.remove(pair)
        self._held.clear()

    def _hold_left(self) -> float:
        return min(self._hold_until, self._hold_end) - asyncio.get_running_loop().time()

    def _priority(self, pair: CandidatePair) -> int:
        return candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    def _succeed(self, pair: CandidatePair) -> None:
        pair.nominated = not self._nominated
        self.check_state(pair, CandidatePair.State.SUCCEEDED)
        self.check_complete(pair)

    def _fail_pair(self, pair: CandidatePair) -> None:
        if pair in self._held:
            self._held.remove(pair)
        self.check_state(pair, CandidatePair.State.FAILED)
        self.check_complete(pair)

    def check_complete(self, pair: CandidatePair) -> None:
        current = self._nominated.get(pair.component)
        if self.ice_controlling and current is not None and current is not pair:
            pair.nominated = False  # once nominated, kept: the other side was told so
        super().check_complete(pair)

    def drop_pair(self, protocol: IceProtocol, addr: Address, error: Exception) -> None:
        """The TURN server will not carry packets to this peer (403, 438 …): asking again does not help."""
        logger.info("relay %s refuses %s: %s", protocol.relay_server, addr, error)
        for pair in list(self._check_list):
            if pair.protocol is protocol and pair.remote_addr == addr:
                if pair.task is not None:
                    pair.task.cancel()
                if not pair.nominated:
                    self._fail_pair(pair)

    # after

    @property
    def selected(self) -> CandidatePair | None:
        return self._nominated.get(COMPONENT)

    def first_hop(self) -> tuple[int, int] | None:
        """As `path_mtu.first_hop`, of the selected pair."""
        return first_hop(self.selected) if self.selected is not None else None

    def keep_whole(self, wanted: bool) -> bool:
        """As `path_mtu.keep_whole`, of the selected pair."""
        return self.selected is not None and keep_whole(self.selected, wanted)

    def pace_reading(self, tick: float) -> None:
        """As `UdpTransport.pace`, of the selected pair; other transports have none."""
        if self.selected is not None:
            pace = cast(Any, self.selected.protocol).transport.get_extra_info("pace")
            if pace is not None:
                pace(tick)

    @property
    def local_address(self) -> str | None:
        """Where packets of the selected pair leave this machine; None when that cannot be told."""
        pair = self.selected
        if pair is None:
            return None
        transport = cast(Any, pair.protocol).transport
        name = transport.get_extra_info("base" if pair.local_candidate.type == "relay" else "sockname")
        return str(name[0]) if name else None

    async def _release_idle_relays(self) -> None:
        await asyncio.sleep(IDLE_RELAY)
        used = {id(pair.protocol) for pair in self._nominated.values()}
        for protocol in list(self._protocols):
            if protocol.local_candidate.type == "relay" and id(protocol) not in used:
                self._protocols.remove(protocol)
                await protocol.close()

    async def close(self) -> None:
        self._closing = True
        await self._tasks.close()
        await super().close()

    def abort(self) -> None:
        """Drop every socket now, whatever hangs."""
        self._tasks.cancel()
        for protocol in self._protocols:
            cast(Any, protocol.transport).abort()


def _candidate(
    kind: str, host: str, port: int, *, base: Address | None = None, preference: int = 65535
) -> Candidate:
    return Candidate(
        foundation=candidate_foundation(kind, "udp", f"{base[0] if base else host}{preference}"),
        component=COMPONENT,
        transport="udp",
        priority=candidate_priority(COMPONENT, kind, preference),
        host=host,
        port=port,
        type=kind,
        related_address=base[0] if base else None,
        related_port=base[1] if base else None,
    )


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def _relayed(pair: CandidatePair) -> bool:
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)


def _senseless(pair: CandidatePair) -> bool:
    """A relay elsewhere cannot reach our loopback, and trying makes some servers drop the allocation."""
    remote = ipaddress.ip_address(pair.remote_candidate.host)
    local = ipaddress.ip_address(pair.local_candidate.host)
    far = remote.is_loopback or remote.is_link_local or remote.is_unspecified or remote.is_multicast
    return pair.local_candidate.type == "relay" and far and not local.is_loopback


def candidate_line(candidate: Candidate) -> str:
    return f"candidate:{candidate.to_sdp()}"


def parse_candidate(line: str) -> Candidate:
    """Raises `FarsiteError` (`protocol_error`)."""
    try:
        return Candidate.from_sdp(line.removeprefix("candidate:"))
    except (ValueError, IndexError):
        raise FarsiteError(ErrorCode.PROTOCOL_ERROR, "Candidate not understood.") from None
