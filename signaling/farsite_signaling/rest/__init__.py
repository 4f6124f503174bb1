"""HTTP as every part serves it: routes that declare their right, problem+json, OpenAPI from the same models."""

from farsite_signaling.rest.errors import problem_middleware, problem_response
from farsite_signaling.rest.openapi import openapi
from farsite_signaling.rest.routes import (
    AUTHENTICATED,
    INTERACTIVE,
    PUBLIC,
    Answer,
    Api,
    Need,
    Route,
    read_body,
    read_query,
    receive,
)
from farsite_signaling.rest.serving import SECURITY_HEADERS, Front, FrontLimits, add_headers

__all__ = [
    "AUTHENTICATED",
    "INTERACTIVE",
    "PUBLIC",
    "SECURITY_HEADERS",
    "Answer",
    "Api",
    "Front",
    "FrontLimits",
    "Need",
    "Route",
    "add_headers",
    "openapi",
    "problem_middleware",
    "problem_response",
    "read_body",
    "read_query",
    "receive",
]
