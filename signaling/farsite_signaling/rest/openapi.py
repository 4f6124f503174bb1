"""OpenAPI 3.1 from the route table and its pydantic models."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from farsite_signaling.rest.routes import PUBLIC, Api, Route
from farsite_signaling.wire.errors import Problem
from farsite_signaling.wire.rights import Right

_REFERENCE = "#/components/schemas/{model}"


def openapi(api: Api, *, title: str, version: str) -> dict[str, Any]:
    models: list[type[BaseModel]] = [Problem]
    for route in api.routes:
        models += [model for model in (route.request, route.response) if model is not None]
    unique = [(model, "serialization") for model in dict.fromkeys(models)]
    _, schemas = models_json_schema(unique, ref_template=_REFERENCE)  # type: ignore[arg-type]
    paths: dict[str, Any] = {}
    for route in api.routes:
        paths.setdefault(api.prefix + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)", route.path)
        ],
        "responses": {
            str(route.status if route.response else 204): _content("Success", route.response),
            "default": _content("Problem", Problem, "application/problem+json"),
        },
        "x-farsite-right": route.need.value,
    }
    if route.request is not None:
        operation["requestBody"] = {"required": True, **_content(None, route.request)}
    if isinstance(route.need, Right) or route.need is not PUBLIC:
        operation["security"] = [{"bearer": []}]
    return operation


def _content(
    description: str | None, model: type[BaseModel] | None, media: str = "application/json"
) -> dict[str, Any]:
    answer: dict[str, Any] = {} if description is None else {"description": description}
    if model is not None:
        schema = {"$ref": _REFERENCE.format(model=model.__name__)}
        answer["content"] = {media: {"schema": schema}}
    return answer
