"""Axis-style devices without hardware: for tests, the demo and first trials. See `docs/simulator.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farsite_edge.simulator.models import MODELS, DeviceDescription, DeviceModel, describe, find_model, load

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice
    from farsite_edge.simulator.simulator import Simulator

__all__ = [
    "MODELS",
    "DeviceDescription",
    "DeviceModel",
    "SimulatedDevice",
    "Simulator",
    "describe",
    "find_model",
    "load",
]


def __getattr__(name: str) -> Any:
    # aiohttp, Pillow and zeroconf take a third of a second to import: the command line must not pay for them.
    if name == "Simulator":
        from farsite_edge.simulator.simulator import Simulator

        return Simulator
    if name == "SimulatedDevice":
        from farsite_edge.simulator.device import SimulatedDevice

        return SimulatedDevice
    raise AttributeError(name)
