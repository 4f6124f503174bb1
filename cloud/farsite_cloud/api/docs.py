"""The API as a page to read: HTML from the OpenAPI document, nothing loaded from elsewhere, no script."""

from __future__ import annotations

import json
from html import escape
from typing import Any

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h2 { margin-top: 2.5rem; } h3 { margin-bottom: .25rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; } pre { background: #f4f4f4; padding: .75rem; overflow: auto; }
.method { font-weight: bold; } .right { color: #555; } a { color: #0050a0; } section { border-top: 1px solid #ddd; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #181818; } pre { background: #242424; }
  .right { color: #aaa; } a { color: #7ab7ff; } section { border-color: #444; } }
"""


def render_page(document: dict[str, Any]) -> str:
    title = escape(f"{document['info']['title']} API {document['info']['version']}")
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/api/docs.css"></head>'
        f'<body><h1>{title}</h1><p>The same as <a href="/api/openapi.json">openapi.json</a>. Errors are '
        "<code>application/problem+json</code> with a stable <code>code</code>.</p>"
        f"<h2>Routes</h2>{operations}<h2>Schemas</h2>{schemas}</body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    request = _reference(operation.get("requestBody", {}))
    success = next(status for status in operation["responses"] if status != "default")
    parameters = ", ".join(
        f"<code>{escape(parameter['name'])}</code> ({parameter['in']})"
        for parameter in operation["parameters"]
    )
    return (
        f'<section><h3><code><span class="method">{method.upper()}</span> {escape(path)}</code></h3>'
        f"<p>{escape(operation['summary'])}</p>"
        f'<p class="right">Needs: {escape(operation["x-farsite-right"])}</p>'
        + (f"<p>Parameters: {parameters}</p>" if parameters else "")
        + (f"<p>Takes {request}</p>" if request else "")
        + f"<p>Answers {success} {_reference(operation['responses'][success])}</p></section>"
    )


def _reference(body: dict[str, Any]) -> str:
    for kind, media in body.get("content", {}).items():
        name = escape(media.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>' if name else escape(kind)
    return ""


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2))
    return f'<section id="{escape(name)}"><h3>{escape(name)}</h3><pre>{text}</pre></section>'
