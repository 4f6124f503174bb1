"""Finding devices: mDNS, SSDP and HTTP probes of addresses, merged by serial number."""

from __future__ import annotations

from farsite_edge.discovery.discovery import discover
from farsite_edge.discovery.found import DiscoveryReport, FoundDevice, Method
from farsite_edge.discovery.merge import merge
from farsite_edge.discovery.targets import parse_targets

__all__ = ["DiscoveryReport", "FoundDevice", "Method", "discover", "merge", "parse_targets"]
