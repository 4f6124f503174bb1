"""Durable tasks: work on devices that outlives the process that began it."""

from farsite_edge.tasks.record import Outcome, TaskRecord, WorkRow
from farsite_edge.tasks.runner import TaskRunner
from farsite_edge.tasks.store import TaskStore
from farsite_edge.tasks.work import Job, Work

__all__ = ["Job", "Outcome", "TaskRecord", "TaskRunner", "TaskStore", "Work", "WorkRow"]
