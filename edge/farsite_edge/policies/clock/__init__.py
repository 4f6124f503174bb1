"""Policies of the kind `time`: time servers, time zone, a clock that is right."""
