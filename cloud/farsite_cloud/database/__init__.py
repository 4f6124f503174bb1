"""Storage: connections, units of work, and the one place that keeps organizations apart."""

from farsite_cloud.database.base import Base, OrganizationOwned, UtcDateTime
from farsite_cloud.database.connection import Database, at_the_end
from farsite_cloud.database.scope import EVERYWHERE, Reach, Scope

__all__ = [
    "EVERYWHERE",
    "Base",
    "Database",
    "OrganizationOwned",
    "Reach",
    "Scope",
    "UtcDateTime",
    "at_the_end",
]
