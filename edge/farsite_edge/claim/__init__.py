"""Joining an organization with a one-time setup code."""
