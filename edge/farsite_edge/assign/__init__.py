"""Host names and addresses for many devices: a table or a rule, checked as a whole, then a task."""

from farsite_edge.assign.service import AssignService

__all__ = ["AssignService"]
