"""Errors as problem details (RFC 9457)."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus

import orjson
import structlog
from starlette.responses import Response

from classifier.errors import (
    Draining,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    RequestError,
    RequestTooSlow,
    RouteNotFound,
    Unauthorized,
    Unavailable,
)
from classifier.schema import Problem
from serving.routes import ROUTES

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 1

NOSNIFF = (b"x-content-type-options", b"nosniff")
"""A header of every answer: a browser takes it for what its content type says, and nothing else."""

_log = structlog.get_logger("classifier.problems")


def problem_document(error: RequestError) -> Problem:
    """The error as the document that a caller gets."""
    document = Problem(type="about:blank", title=error.title, status=error.status, detail=str(error))
    if isinstance(error, InvalidRequest):
        document["errors"] = [
            {"loc": list(broken.loc), "msg": broken.msg, "type": broken.type} for broken in error.errors
        ]
    return document


def problem_response(error: Exception) -> Response:
    """The answer to a request that failed. An unexpected error is logged with an id, which it repeats."""
    if not isinstance(error, RequestError):
        error_id = uuid.uuid4().hex
        _log.error("internal_error", id=error_id, exc_info=error)
        document = problem_document(
            InternalError(f"the service failed; its log has the cause under id {error_id}")
        )
        document["id"] = error_id
        return _response(document)
    headers = {}
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allow
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, Unavailable):
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, (Draining, RequestTooSlow)):
        headers["connection"] = "close"
    return _response(problem_document(error), headers)


def no_such_route(method: str, path: str) -> RequestError:
    """Why no route took a request: 405 where the path has another method, else 404."""
    allowed = sorted({route.method for route in ROUTES if route.path == path})
    if allowed:
        allow = ", ".join(allowed)
        return MethodNotAllowed(f"{method} is not a method of {path}; it takes {allow}", allow)
    return RouteNotFound(f"there is no route {path[:200]!r}; GET / lists the routes")


def problem_of_status(status: int) -> Response:
    """A problem for an error that BentoML answered with a body of its own."""
    phrase = HTTPStatus(status).phrase
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return _response(Problem(type="about:blank", title=phrase, status=status, detail=phrase), headers)


def _response(document: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), document["status"], headers, media_type=PROBLEM_JSON)
