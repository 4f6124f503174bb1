"""`ETag` and `If-Match` as every part has them."""

from farsite_signaling.rest.etags import check_if_match, etag

__all__ = ["check_if_match", "etag"]
