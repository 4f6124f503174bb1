"""`farsite edge doctor`: everything an edge host needs, checked on its own machine, whether it runs or not."""

from farsite_edge.doctor.examination import examine

__all__ = ["examine"]
