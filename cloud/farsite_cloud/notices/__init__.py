"""Notices: what people are told, in the product, by mail and by webhook."""
