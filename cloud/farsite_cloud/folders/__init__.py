"""Folders of an organization."""
