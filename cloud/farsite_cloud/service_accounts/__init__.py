"""Accounts of programs, owned by an organization."""
