"""Requests: units of work, authorisation, the route table."""
