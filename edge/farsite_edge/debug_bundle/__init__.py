"""`farsite edge debug-bundle`: what somebody needs who is asked for help, without a secret in it."""

from farsite_edge.debug_bundle.bundle import Bundle, make_bundle

__all__ = ["Bundle", "make_bundle"]
