"""Policies of the kind `certificates`: HTTPS certificates of devices by the organization's authority."""
