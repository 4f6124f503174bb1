"""Signing a device in through a browser (RFC 8628)."""
