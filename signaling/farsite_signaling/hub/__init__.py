"""The server side of signaling: who is connected, and sealed envelopes from one to the other."""
