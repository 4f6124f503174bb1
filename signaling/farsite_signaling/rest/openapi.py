"""OpenAPI 3.1 from the route table and its pydantic models."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from farsite_signaling.rest.outcomes import outcomes
from farsite_signaling.rest.routes import PUBLIC, Api, Route
from farsite_signaling.wire.errors import Problem

Mode = Literal["validation", "serialization"]
Schemas = dict[tuple[type[BaseModel], Mode], dict[str, Any]]
_REFERENCE = "#/components/schemas/{model}"
_PROBLEM = "application/problem+json"
_ETAG = {
    "ETag": {
        "description": "what was read; give it as If-Match to change or remove that and nothing newer",
        "schema": {"type": "string"},
    }
}


def openapi(api: Api, *, title: str, version: str) -> dict[str, Any]:
    references, definitions = _schemas(api)
    paths: dict[str, Any] = {}
    for route in api.routes:
        path = paths.setdefault(api.prefix + route.path, {})
        path[route.method.lower()] = _operation(route, references, etag=api.gives_etag(route))
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(api: Api) -> tuple[Schemas, dict[str, Any]]:
    models: dict[tuple[type[BaseModel], Mode], None] = {(Problem, "serialization"): None}
    for route in api.routes:
        if route.request is not None:
            models[route.request, "validation"] = None
        if route.response is not None:
            models[route.response, "serialization"] = None
    references, schemas = models_json_schema(list(models), ref_template=_REFERENCE)
    return references, schemas.get("$defs", {})  # type: ignore[return-value]


def _operation(route: Route, references: Schemas, *, etag: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": _parameters(route),
        "responses": _responses(route, references, etag=etag),
        "x-farsite-right": route.need.value,
    }
    if route.request is not None:
        body = _content(references[route.request, "validation"])
        operation["requestBody"] = {"required": True, **body}
    if route.need is not PUBLIC:
        operation["security"] = [{"bearer": []}]
    return operation


def _responses(route: Route, references: Schemas, *, etag: bool) -> dict[str, Any]:
    problem = _content(references[Problem, "serialization"], _PROBLEM)
    problems = {
        str(status): {"description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}", **problem}
        for status, codes in outcomes(route).items()
    }
    success = _success(route, references)
    if etag:
        success[str(route.status)]["headers"] = _ETAG
    return success | problems | {"default": {"description": "Problem", **problem}}


def _success(route: Route, references: Schemas) -> dict[str, Any]:
    if route.files:
        content: dict[str, Any] = {media: {"schema": {}} for media in route.files}
        return {"200": {"description": "Success: a file", "content": content}}
    if route.response is None:
        return {"204": {"description": "Success"}}
    content = _content(references[route.response, "serialization"])
    return {str(route.status): {"description": "Success", **content}}


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)", route.path)
    ]
    if route.query is not None:
        properties = route.query.model_json_schema()["properties"]
        parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    parameters += [{"name": name, "in": "header", "schema": {"type": "string"}} for name in route.headers]
    return parameters


def _content(schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"content": {media: {"schema": schema}}}
