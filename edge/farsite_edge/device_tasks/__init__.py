"""What is done to devices as durable tasks."""

from farsite_edge.device_tasks.service import DeviceTasks
from farsite_edge.device_tasks.settings import Timing

__all__ = ["DeviceTasks", "Timing"]
