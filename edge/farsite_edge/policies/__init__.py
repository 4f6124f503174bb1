"""Policies: settings that devices are compared with, and kept at.

`kind.py` is what a kind of policy has to be; `security/` is one. `machine.py` takes a device there, one step at a time.
"""

from farsite_edge.policies.host import PolicyHost
from farsite_edge.policies.job import POLICY
from farsite_edge.policies.kind import Finding, Kind, Kinds, Step, Wanted
from farsite_edge.policies.service import BY_ITSELF, PolicyService, uneventful

__all__ = [
    "BY_ITSELF",
    "POLICY",
    "Finding",
    "Kind",
    "Kinds",
    "PolicyHost",
    "PolicyService",
    "Step",
    "Wanted",
    "uneventful",
]
