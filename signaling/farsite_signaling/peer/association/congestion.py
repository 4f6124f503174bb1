"""How fast and how much: a model of the path instead of a reaction to loss (after BBR, draft-ietf-ccwg-bbr).

The model is two numbers: the highest delivery rate of the last ten round trips, and the lowest round trip of the
last ten seconds. Their product is what fits the path without a queue. Random loss does not change them. Where the
queue stays long, or much is lost for long, what is in flight is cut.

    startup -> drain -> cruise -> up -> down -> cruise …      any -> round_trip -> cruise
"""

from __future__ import annotations

import random
from collections import deque
from enum import StrEnum

from farsite_signaling.peer.association.flight import Acked, Flight

SEGMENT = 1176
INITIAL_WINDOW = 32 * SEGMENT
LEAST_WINDOW = 4 * SEGMENT
_STARTUP_GAIN = 2.77
_WINDOW_GAIN = 1.75
"""Twice the product would leave a loss-based flow behind the same queue too little."""
_MARGIN = 0.99
_RATE_ROUNDS = 10
_RATE_LIFE = 0.5
"""At least: on a short path a few round trips are less than a busy machine's pauses."""
_LEAST_PHASE = 0.01
_ROUND_TRIP_LIFE = 10.0
_PROBE_TIME = 0.2
_EXTRA = 0.01
"""Seconds of rate on top of the window: timers, batches and rare acknowledgements take about that long."""
_HEAVY_LOSS = 0.2
_MOST_LOSS, _LOSS_ROUNDS = 0.06, 8
_FULL_SAMPLES = 8
_FULL_TRIP, _FULL_EXTRA = 1.25, 0.004
"""So many trips in a row this much longer than the shortest one: start-up has filled the path (after HyStart++)."""
_GENTLE = 1.1
_MORE = 1.03
"""A look upwards that found less than this more: the next one builds less of a queue."""
_FREE_QUEUE = 0.002
_MOST_RESTRAINT = 0.1
_FIRST_RTT = 0.1


class Phase(StrEnum):
    STARTUP = "startup"
    DRAIN = "drain"
    CRUISE = "cruise"
    UP = "up"
    DOWN = "down"
    ROUND_TRIP = "round_trip"


_GAINS = {
    Phase.STARTUP: _STARTUP_GAIN,
    Phase.DRAIN: 1 / _STARTUP_GAIN,
    Phase.CRUISE: 1.0,
    Phase.UP: 1.25,
    Phase.DOWN: 0.75,
    Phase.ROUND_TRIP: 1.0,
}


class Congestion:
    """Rates in bytes per second, windows in bytes."""

    def __init__(self, seed: int) -> None:
        self.phase = Phase.STARTUP
        self.round_trip: float | None = None
        self._random = random.Random(seed)  # noqa: S311 - spreads probes over time, keeps no secret
        self._round_trip_at = 0.0
        self._probed_trip: float | None = None
        self._rates: deque[tuple[int, float, float]] = deque()
        self._history: deque[tuple[float, int]] = deque()
        self._round = 0
        self._round_ends = 0
        self._phase_at = 0.0
        self._cruise = 0.0
        self._full = 0.0
        self._full_rounds = 0
        self._limit: float | None = None
        self._heavy_rounds = 0
        self._loss = 0.0
        self._long_trips = 0
        self._smoothed = 0.0
        self._drained_at = float("inf")
        self._drained = 0.0
        self._drained_samples = 0
        self._base: float | None = None
        self._up = _GAINS[Phase.UP]
        self._rate_below = 0.0
        self._round_delivered = 0
        self._round_lost = 0

    @property
    def rate(self) -> float:
        """Of delivery, by the model; 0 before the first sample."""
        return self._rates[0][1] if self._rates else 0.0

    @property
    def product(self) -> float:
        """What fits the path without a queue."""
        return self.rate * (self.round_trip or _FIRST_RTT)

    @property
    def window(self) -> float:
        if not self._rates:
            return INITIAL_WINDOW
        if self.phase is Phase.ROUND_TRIP:
            return max(LEAST_WINDOW, self.product / 2)
        window = _WINDOW_GAIN * self.product + self.rate * _EXTRA + 3 * SEGMENT
        if self._limit is not None and self.phase is not Phase.UP:
            window = min(window, self._limit)
        if self.phase is Phase.STARTUP:
            window = max(window, INITIAL_WINDOW)
        return max(LEAST_WINDOW, window)

    @property
    def pacing(self) -> float:
        if not self._rates:
            return _STARTUP_GAIN * INITIAL_WINDOW / (self.round_trip or _FIRST_RTT)
        margin = 1.0 if self.phase is Phase.STARTUP else _MARGIN
        return max(
            self._gain * self._correction * self.rate * margin,
            2 * SEGMENT / (self.round_trip or _FIRST_RTT),
        )

    @property
    def _gain(self) -> float:
        return self._up if self.phase is Phase.UP else _GAINS[self.phase]

    def handshake(self, rtt: float, now: float) -> None:
        self.round_trip, self._round_trip_at = rtt, now

    def acknowledged(self, acked: Acked, flight: Flight, now: float) -> None:
        newest = acked.newest
        if newest is None:
            return
        if newest.sends == 1:
            self._measure_round_trip(now - newest.burst.sent_at, now, limited=newest.burst.limited)
        new_round = newest.burst.delivered >= self._round_ends
        if new_round:
            self._round += 1
            self._round_ends = flight.delivered
        self._measure_rate(acked, flight, now)
        if new_round:
            self._judge_round(flight)
        self._advance(flight, now, new_round and not newest.burst.limited)

    def _measure_round_trip(self, rtt: float, now: float, *, limited: bool) -> None:
        known = self.round_trip
        self._smoothed += (rtt - self._smoothed) / 8
        self._watch_queue(rtt, now, limited=limited)
        if self.phase is Phase.ROUND_TRIP:
            self._probed_trip = rtt if self._probed_trip is None else min(self._probed_trip, rtt)
        # Close to the lowest counts as a confirmation: no need to empty the path for it.
        if known is None or rtt <= known * 1.02 + 0.0005:
            self._round_trip_at = now
            self.round_trip = rtt if known is None else min(known, rtt)

    def _watch_queue(self, rtt: float, now: float, *, limited: bool) -> None:
        """In start-up a queue tells that the path is full; later, what is left of it after draining is not ours.

        Who has little to send fills no path: acknowledgements of single packets are delayed.
        """
        trip = self.round_trip or _FIRST_RTT
        long = rtt > trip * _FULL_TRIP + _FULL_EXTRA and not limited
        self._long_trips = self._long_trips + 1 if long else 0
        since = (now - self._drained_at) / trip
        if 0.75 <= since < 1.5:
            self._drained += rtt
            self._drained_samples += 1
        elif since >= 1.5 and self._drained_samples:
            self._base = self._drained / self._drained_samples
            self._drained, self._drained_samples = 0.0, 0

    @property
    def _correction(self) -> float:
        """Of the pace when cruising. What queue has grown since the last draining is paid back: rates are measured a
        little high. What random loss takes is sent on top: delivery is measured behind it."""
        if self.phase is not Phase.CRUISE or self._base is None:
            return 1.0
        excess = (self._smoothed - self._base - _FREE_QUEUE) / (self.round_trip or _FIRST_RTT)
        return (1.0 - min(_MOST_RESTRAINT, max(0.0, excess))) / (1.0 - self._loss)

    def _measure_rate(self, acked: Acked, flight: Flight, now: float) -> None:
        assert acked.newest is not None
        burst = acked.newest.burst
        flight.first_sent_at = max(flight.first_sent_at, burst.sent_at)
        interval = max(burst.sent_at - burst.first_sent_at, now - burst.delivered_at)
        if interval <= 0 or (self.round_trip is not None and interval < self.round_trip * 0.9):
            return
        rate = (flight.delivered - burst.delivered) / interval
        rate = min(rate, self._longer(flight, now))
        if burst.limited and rate <= self.rate:
            return
        rates = self._rates
        while rates and rates[-1][1] <= rate:
            rates.pop()
        rates.append((self._round, rate, now))
        while rates[0][0] < self._round - _RATE_ROUNDS and rates[0][2] < now - _RATE_LIFE:
            rates.popleft()

    def _longer(self, flight: Flight, now: float) -> float:
        """The rate over two round trips: what is read in ticks, or late, seems to come faster over one."""
        history, since = self._history, now - 2 * (self.round_trip or _FIRST_RTT)
        history.append((now, flight.delivered))
        while len(history) > 1 and history[1][0] <= since:
            history.popleft()
        begin, delivered = history[0]
        if flight.empty:
            history.clear()
        if self.phase is Phase.STARTUP or begin > since:
            return float("inf")
        return (flight.delivered - delivered) / (now - begin)

    def _judge_round(self, flight: Flight) -> None:
        """Much loss for two round trips: less at once, until the next look upwards."""
        delivered = flight.delivered - self._round_delivered
        lost = flight.lost_bytes - self._round_lost
        self._round_delivered, self._round_lost = flight.delivered, flight.lost_bytes
        share = max(0, lost) / max(1, lost + delivered)
        self._loss += (min(_MOST_LOSS, share) - self._loss) / _LOSS_ROUNDS
        heavy = lost > _HEAVY_LOSS * (lost + delivered) and lost > 8 * SEGMENT
        self._heavy_rounds = self._heavy_rounds + 1 if heavy else 0
        if self._heavy_rounds >= 2:
            self._limit = max(LEAST_WINDOW, self.product, 0.85 * (self._limit or self.window))
            if self.phase is Phase.STARTUP:
                self._full_rounds = 3

    # phases

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._phase_at = now
        self._drained_at = now if phase is Phase.CRUISE else float("inf")
        if phase is Phase.UP:
            self._rate_below = self.rate
        if phase is Phase.DOWN:
            self._up = _GAINS[Phase.UP] if self.rate > _MORE * self._rate_below else _GENTLE
        if phase is Phase.CRUISE:
            self._cruise = self._random.uniform(4.0, 7.0)

    def _advance(self, flight: Flight, now: float, full_round: bool) -> None:
        if self.phase is Phase.STARTUP:
            self._startup(now, full_round)
        if self.phase is Phase.DRAIN and flight.bytes <= self.product:
            self._enter(Phase.CRUISE, now)
        self._cycle(flight, now)
        self._check_round_trip(now)

    def _startup(self, now: float, full_round: bool) -> None:
        if full_round:
            if self.rate >= self._full * 1.25:
                self._full, self._full_rounds = self.rate, 0
            else:
                self._full_rounds += 1
        if self._full_rounds >= 3 or self._long_trips >= _FULL_SAMPLES:
            self._enter(Phase.DRAIN, now)

    def _cycle(self, flight: Flight, now: float) -> None:
        trip = max(self.round_trip or _FIRST_RTT, _LEAST_PHASE)
        elapsed = now - self._phase_at
        if self.phase is Phase.CRUISE and elapsed > self._cruise * trip:
            self._limit = None
            self._enter(Phase.UP, now)
        elif self.phase is Phase.UP and elapsed > trip:
            if flight.bytes >= (self._up - 0.05) * self.product or elapsed > 2 * trip:
                self._enter(Phase.DOWN, now)
        elif self.phase is Phase.DOWN and (flight.bytes <= self.product or elapsed > 2 * trip):
            self._enter(Phase.CRUISE, now)

    def _check_round_trip(self, now: float) -> None:
        if self.phase is Phase.ROUND_TRIP:
            if now - self._phase_at > max(_PROBE_TIME, self.round_trip or 0.0):
                self._round_trip_at = now
                self.round_trip = self._probed_trip or self.round_trip
                self._enter(Phase.CRUISE, now)
        elif now - self._round_trip_at > _ROUND_TRIP_LIFE and self.phase is not Phase.STARTUP:
            self._probed_trip = None
            self._enter(Phase.ROUND_TRIP, now)
