"""AXIS OS images from a catalogue on the network: which there are, and each downloaded once, checked, within a limit."""
