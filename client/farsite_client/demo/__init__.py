"""The main job on one machine: real processes, a real tunnel, acted out from sign-in to snapshot."""
