"""What the cloud does without being asked."""

from __future__ import annotations

from farsite_cloud.services import Services
from farsite_cloud.support.sweep import cut_one
from farsite_cloud.sweeper import Duty


def duties_of(services: Services) -> dict[str, Duty]:
    return {
        "support access": lambda: cut_one(services),
        "last uses": lambda: services.used.write(services.database),
    }
