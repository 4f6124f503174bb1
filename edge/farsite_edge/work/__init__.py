"""Orders of work from the cloud: taken durably, done as local tasks, reported until the cloud has it all."""

from farsite_edge.work.desk import WorkDesk
from farsite_edge.work.kinds import WorkKind, WorkKinds
from farsite_edge.work.store import OrderStore

__all__ = ["OrderStore", "WorkDesk", "WorkKind", "WorkKinds"]
