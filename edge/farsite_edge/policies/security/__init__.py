"""Basic security: the settings of a hardened device, one entry of `catalogue.py` each."""
