"""Policies of the kind `apps`: which apps devices have, in which version, running or not."""
