"""The signaling hub: knows which peers are connected and carries sealed envelopes between them. Server side."""

from farsite_signaling.hub.authorizer import Authorizer
from farsite_signaling.hub.hub import Hub
from farsite_signaling.hub.limits import HubLimits
from farsite_signaling.hub.neighbours import Here, Neighbours

__all__ = ["Authorizer", "Here", "Hub", "HubLimits", "Neighbours"]
