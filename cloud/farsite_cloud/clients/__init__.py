"""Enrolled client devices."""
