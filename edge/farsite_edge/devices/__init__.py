"""The site's devices: found ones, managed ones, and what the edge host does with them."""

from farsite_edge.devices.finder import Finder
from farsite_edge.devices.gateway import Gateway
from farsite_edge.devices.manager import DeviceManager
from farsite_edge.devices.monitor import Monitor
from farsite_edge.devices.registry import Registry

__all__ = ["DeviceManager", "Finder", "Gateway", "Monitor", "Registry"]
