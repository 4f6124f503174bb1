"""Licences: what is owned, what is needed, and what follows from it."""
