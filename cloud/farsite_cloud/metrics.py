"""Counters for Prometheus. One registry per cloud, so that several can live in one process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "farsite_request_seconds",
            "Time to answer API requests.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.acts = Counter(
            "farsite_acts", "Audited acts by outcome.", ["action", "outcome"], registry=self._registry
        )
        self.relay_checks = Counter(
            "farsite_relay_checks",
            "Credentials given out to check relays with.",
            ["kind"],
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).observe(seconds)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        Gauge(name, text, registry=self._registry).set_function(value)

    def render(self) -> bytes:
        return generate_latest(self._registry)
