"""Devices of whole organizations, as their edge hosts tell them."""
