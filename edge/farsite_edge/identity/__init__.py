"""Who this edge host is: a key that never leaves it, and a certificate for it."""
