"""The signaling hub: knows which peers are connected and carries sealed envelopes between them. Server side."""

from farsite_signaling.hub.authorizer import Authorizer
from farsite_signaling.hub.hub import Hub
from farsite_signaling.hub.limits import HubLimits

__all__ = ["Authorizer", "Hub", "HubLimits"]
