"""Keeps the edge host running: what its process tells its supervisor, and a supervisor for where there is none."""
