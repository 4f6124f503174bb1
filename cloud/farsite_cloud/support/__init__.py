"""Time-limited access for somebody who is no member."""
