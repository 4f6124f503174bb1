"""Byte streams with credit flow control and resumption, sans-I/O."""
