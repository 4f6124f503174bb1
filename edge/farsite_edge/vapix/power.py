"""Restart and factory default of firmware before 7.40, which has no `firmwaremanagement.cgi`."""

from __future__ import annotations

from farsite_edge.vapix.request import Answer, ApiRequest


class _Act(ApiRequest[None]):
    """A page nobody reads comes back; the device then restarts."""

    method = "GET"

    def parse(self, answer: Answer) -> None:
        return None


class LegacyRestart(_Act):
    path = "/axis-cgi/restart.cgi"


class LegacyFactoryDefault(_Act):
    """Keeps the network settings."""

    path = "/axis-cgi/factorydefault.cgi"


class LegacyHardFactoryDefault(_Act):
    path = "/axis-cgi/hardfactorydefault.cgi"
