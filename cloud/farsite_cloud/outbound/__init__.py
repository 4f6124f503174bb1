"""Requests to addresses that users name: bounded, and never to the inside of the operator's network."""

from farsite_cloud.outbound.policy import Addresses, Target, check_url
from farsite_cloud.outbound.requests import Outbound, Reply

__all__ = ["Addresses", "Outbound", "Reply", "Target", "check_url"]
