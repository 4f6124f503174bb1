"""Axis-style devices without hardware: for tests, the demo and first trials. See `docs/simulator.md`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farsite_edge.simulator.device import SimulatedDevice
    from farsite_edge.simulator.models import (
        MODELS,
        DeviceDescription,
        DeviceModel,
        describe,
        find_model,
        load,
    )
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
    if name not in __all__:
        raise AttributeError(name)
    module = {"Simulator": "simulator", "SimulatedDevice": "device"}.get(name, "models")
    return getattr(import_module(f"{__name__}.{module}"), name)
