"""AXIS OS on the site's devices: which versions there are, which is recommended, and the way to another one."""
