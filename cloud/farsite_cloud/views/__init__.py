"""Filters with a name, own or shared."""
