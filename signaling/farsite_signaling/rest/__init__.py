"""HTTP as every part serves it: routes that declare their right, problem+json, OpenAPI from the same models."""

from farsite_signaling.rest.errors import problem_middleware
from farsite_signaling.rest.openapi import openapi
from farsite_signaling.rest.routes import AUTHENTICATED, PUBLIC, Api, Route

__all__ = ["AUTHENTICATED", "PUBLIC", "Api", "Route", "openapi", "problem_middleware"]
