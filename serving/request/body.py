"""Reads a request's body within bounds and checks it against a model of `classifier.schema`."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request

from classifier.validation import shortened
from serving.errors import (
    BodyTooLarge,
    FieldError,
    InvalidRequest,
    MalformedBody,
    UnsupportedMediaType,
)
from serving.request.hangup import take_failure
from serving.routes import JSON

Model = TypeVar("Model", bound=BaseModel)

TIMEOUT_HEADER = "x-request-timeout"

_MAX_SHOWN_CHARACTERS = 60
"""Most characters of a wrong value that an error repeats."""

_MAX_LISTED_FIELDS = 20
"""Most unknown fields that get an error each. More get one error together: 2 MiB can hold 200,000 fields."""


def check_headers(headers: Mapping[bytes, bytes], max_bytes: int) -> None:
    """Refuse a body whose declared type, encoding or size is not accepted, before any of it is read."""
    declared = headers.get(b"content-type", b"")
    media_type = declared.decode("latin-1").partition(";")[0].strip().lower()
    if media_type != JSON:
        shown = repr(_shown(media_type)) if media_type else "not declared"
        raise UnsupportedMediaType(f"the body's media type is {shown}; it must be {JSON}")
    if (encoding := headers.get(b"content-encoding", b"identity")) != b"identity":
        shown = _shown(encoding.decode("latin-1"))
        raise UnsupportedMediaType(f"the body's content-encoding is {shown}; send it as it is")
    announced = headers.get(b"content-length", b"")
    digits = announced.lstrip(b"0")
    if digits.isdigit() and (len(digits) > 19 or int(digits) > max_bytes):
        size = _shown(digits.decode())
        raise BodyTooLarge(f"the body has {size} bytes; at most {max_bytes} are allowed")


def request_timeout(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds that the client is willing to wait; None if it does not say. Raises InvalidRequest."""
    given = headers.get(TIMEOUT_HEADER.encode())
    if given is None:
        return None
    value = given.decode("latin-1")
    try:
        seconds = math.nan if "_" in value else float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        message = f"{TIMEOUT_HEADER} is {_shown(value)}; it must be a number of seconds above 0"
        raise InvalidRequest((FieldError(("header", TIMEOUT_HEADER), message, "timeout"),))
    return seconds


async def read_json(request: Request, max_bytes: int) -> Any:
    """Read and parse the body; a body of more than `max_bytes` is refused without reading the rest."""
    chunks: list[bytes] = []
    size = 0
    is_whole = False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise take_failure(request.scope) or MalformedBody(
                f"the client disconnected after {size} bytes of the body"
            )
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            raise BodyTooLarge(f"the body has more than {max_bytes} bytes, which is the most allowed")
        is_whole = not message.get("more_body", False)
    try:
        return orjson.loads(chunks[0] if len(chunks) == 1 else b"".join(chunks))
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error


def parse(
    model: type[Model], body: Any, query: QueryParams | None = None, query_fields: Sequence[str] = ()
) -> Model:
    """Check a parsed body against the contract; raises InvalidRequest with every broken rule.

    The fields in `query_fields` are whole numbers and may be in the query instead; any other parameter of the
    query is an error. If a field is in both, both values must be valid, and the one in the body is used.
    """
    if not query:
        return _validated(model, body, {})
    _refuse_unknown_parameters(query, query_fields)
    if not isinstance(body, dict):
        return _validated(model, body, {})
    in_query = _in_query(query, query_fields)
    if in_query.keys() & body.keys():
        _validated(model, body | in_query, in_query)
    only_in_query = {name: value for name, value in in_query.items() if name not in body}
    return _validated(model, only_in_query | body, only_in_query)


def _validated(model: type[Model], body: Any, in_query: Mapping[str, object]) -> Model:
    _bound_unknown_fields(model, body)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        broken = error.errors(include_url=False)
        raise InvalidRequest(tuple(_field_error(model, item, in_query) for item in broken)) from None


def _bound_unknown_fields(model: type[BaseModel], body: Any) -> None:
    """Refuse a body of many unknown fields with one error, because one for each could fill the memory."""
    if not isinstance(body, dict) or len(body) <= _MAX_LISTED_FIELDS:
        return
    unknown = len(body) - sum(name in body for name in model.model_fields)
    if unknown > _MAX_LISTED_FIELDS:
        fields = ", ".join(model.model_fields)
        message = f"the body has {unknown} fields that are not of this request; its fields are {fields}"
        raise InvalidRequest((FieldError(("body",), message, "extra_forbidden"),))


def _refuse_unknown_parameters(query: QueryParams, fields: Sequence[str]) -> None:
    unknown = [name for name in query if name not in fields][:_MAX_LISTED_FIELDS]
    if unknown:
        rule = f"its only parameter is {fields[0]}" if fields else "the fields of a request are in its body"
        raise InvalidRequest(
            tuple(
                FieldError(
                    ("query", _shown(name)),
                    f"{_shown(name)} is not a query parameter of this request; {rule}",
                    "extra_forbidden",
                )
                for name in unknown
            )
        )


def _in_query(query: QueryParams, fields: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in fields:
        values = [_number(value) for value in query.getlist(name)]
        if values:
            found[name] = values[0] if len(values) == 1 else values
    return found


def _number(value: str) -> int | str:
    # No JSON number has more digits, and the time of int() grows with the square of their count.
    is_number = value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 310
    return int(value) if is_number else value


def _field_error(
    model: type[BaseModel], item: Mapping[str, Any], in_query: Mapping[str, object]
) -> FieldError:
    loc = tuple(_shown(step) if isinstance(step, str) else step for step in item["loc"])
    place = "query" if loc and loc[0] in in_query else "body"
    name = _path(loc) or "the body"
    return FieldError((place, *loc), _message(model, name, item), item["type"])


def _path(loc: Sequence[str | int]) -> str:
    """`texts[3]`, as a person would write it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).removeprefix(".")


def _message(model: type[BaseModel], name: str, item: Mapping[str, Any]) -> str:
    rule = str(item["msg"])
    match item["type"]:
        case "missing":
            return f"{name} is missing; it is required"
        case "extra_forbidden":
            fields = ", ".join(model.model_fields)
            return f"{name} is not a field of this request; its fields are {fields}"
        case "model_type":
            return f"{name} is {_as_json(item['input'])}; it must be an object"
        case "text_blank" | "text_too_long":
            return f"{name} {rule}"
        case "too_short" | "too_long":
            bounds = item["ctx"]
            rule = (
                f"at least {bounds['min_length']} is needed"
                if item["type"] == "too_short"
                else f"at most {bounds['max_length']} are allowed"
            )
            return f"{name} has {bounds['actual_length']} items; {rule}"
    return f"{name} is {_as_json(item['input'])}: {rule[:1].lower()}{rule[1:]}"


def _as_json(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    return _shown(json.dumps(value, ensure_ascii=False))


def _shown(text: str) -> str:
    return shortened(text, _MAX_SHOWN_CHARACTERS)
