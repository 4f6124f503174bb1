"""Sessions of a client with an edge host."""
