"""Makes the OpenAPI document from the table of routes and the models of the contract."""

import inspect
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from classifier.schema import Problem
from serving.errors import SEEN_BY_CLIENTS
from serving.request.problems import PROBLEM_JSON
from serving.routes import HEALTH, JSON, MODEL, PREDICTIONS, ROUTES, SERVICE, Route

_REF_TEMPLATE = "#/components/schemas/{model}"
_ERROR = "Error"
_KEY = "key"
_LABEL = "label"
"""The field of a request that must be a label of the model."""


def openapi_document(version: str, needs_key: bool, labels: Sequence[str]) -> dict[str, Any]:
    """OpenAPI 3.1 with JSON Schemas as pydantic writes them.

    `needs_key`: whether API keys are set; the page then offers to send one. `labels`: those of the model.
    """
    types = {route: TypeAdapter(route.answer) for route in ROUTES if route.answer is not None}
    inputs: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = [
        (("answer", route), "serialization", adapter) for route, adapter in types.items()
    ]
    inputs += [
        (("request", route), "validation", TypeAdapter(route.request)) for route in ROUTES if route.request
    ]
    inputs.append((("problem", None), "serialization", TypeAdapter(Problem)))
    schemas, definitions = TypeAdapter.json_schemas(
        inputs, ref_template=_REF_TEMPLATE, schema_generator=GenerateJsonSchema
    )
    requests = {route.request for route in ROUTES if route.request is not None}
    for request_model in requests:
        if _LABEL in request_model.model_fields:
            _allow_labels(definitions["$defs"][request_model.__name__]["properties"][_LABEL], labels)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        answer = schemas.get((("answer", route), "serialization"))
        request = schemas.get((("request", route), "validation"))
        operation = _operation(route, answer, request, definitions["$defs"])
        if needs_key and route.needs_key:
            operation["security"] = [{_KEY: []}]
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    problem = {"schema": {"$ref": _REF_TEMPLATE.format(model="Problem")}}
    error = {
        "description": "An error; the list at the top of this page has them all",
        "content": {PROBLEM_JSON: problem},
    }
    components: dict[str, Any] = {"schemas": definitions["$defs"], "responses": {_ERROR: error}}
    if needs_key:
        components["securitySchemes"] = {_KEY: {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Text classification",
            "version": version,
            "description": _description(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in (PREDICTIONS, MODEL, SERVICE)],
        "paths": paths,
        "components": components,
    }


def _allow_labels(schema: dict[str, Any], labels: Sequence[str]) -> None:
    """List the labels of the model in the schema of a field that must be one of them or absent."""
    for alternative in schema.get("anyOf", [schema]):
        if alternative["type"] == "string":
            alternative["enum"] = list(labels)
    schema["examples"] = [labels[-1]]


def _operation(route: Route, answer: Any, request: Any, components: dict[str, Any]) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": answer} if answer is not None else {"schema": {"type": "string"}}
    operation: dict[str, Any] = {
        "operationId": (
            route.method.lower() + route.path.replace("/", "_").replace("-", "_").replace(".", "_")
        ),
        "summary": route.summary,
        "tags": [route.group],
        "responses": {
            "200": {"description": "The answer", "content": {route.media_type: media}},
            "default": {"$ref": f"#/components/responses/{_ERROR}"},
        },
    }
    if route is HEALTH:
        operation["responses"]["503"] = {"description": "Not ready", "content": {JSON: media}}
    if route.request is not None:
        properties = components[route.request.__name__]["properties"]
        example = {name: field["examples"][0] for name, field in properties.items() if "examples" in field}
        operation["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": request, "example": example}},
        }
        operation["parameters"] = [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": "May be in the body instead; if it is in both, the one in the body counts.",
                "schema": properties[name],
            }
            for name in route.query
        ]
    return operation


def _description() -> str:
    """Markdown; the table can be folded, so that the routes are on the first screen."""
    rows = [f"| {error.status} | {error.title} | {inspect.getdoc(error)} |" for error in SEEN_BY_CLIENTS]
    table = "\n".join(["| Status | Title | |", "|---|---|---|", *rows])
    return f"""Classify texts. Every error is a problem detail (RFC 9457).

<details><summary>All errors</summary>

{table}

</details>
"""
