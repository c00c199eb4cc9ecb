"""Turns errors into answers: problem details (RFC 9457)."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus

import orjson
import structlog
from starlette.responses import Response

from classifier.schema import Problem
from serving.errors import HttpError, InternalError, MethodNotAllowed, RouteNotFound, as_http
from serving.routes import ROUTES

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 1
MAX_SHOWN_PATH = 200
"""Most characters of an unknown path that an answer repeats."""

NOSNIFF = (b"x-content-type-options", b"nosniff")
"""A header of every answer. It forbids browsers to guess another media type than the declared one."""

_log = structlog.get_logger("classifier.problems")


def problem_response(error: Exception, request_id: bytes | None = None) -> Response:
    """The answer to a request that failed.

    An unexpected error is logged with the request's id, or a new one, which the response repeats.
    """
    http_error = as_http(error)
    if http_error is None:
        error_id = request_id.decode() if request_id else uuid.uuid4().hex
        _log.error("internal_error", request_id=error_id, exc_info=error)
        http_error = InternalError(error_id)
    document = Problem(
        type="about:blank", title=http_error.title, status=http_error.status, detail=str(http_error)
    )
    return _response({**document, **http_error.members()}, http_error.status, http_error.headers())


def no_such_route(method: str, path: str) -> HttpError:
    """The error for a request that matches no route: 405 if the path has other methods, otherwise 404."""
    allowed = sorted({route.method for route in ROUTES if route.path == path})
    if allowed:
        allow = ", ".join(allowed)
        return MethodNotAllowed(f"{method} is not a method of {path}; it takes {allow}", allow)
    return RouteNotFound(f"there is no route {path[:MAX_SHOWN_PATH]!r}; GET / lists the routes")


def problem_of_status(status: int) -> Response:
    """The problem for an error that BentoML answered with a body of its own."""
    phrase = HTTPStatus(status).phrase
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    document = Problem(type="about:blank", title=phrase, status=status, detail=phrase)
    return _response({**document}, status, headers)


def _response(document: Mapping[str, object], status: int, headers: Mapping[str, str]) -> Response:
    return Response(orjson.dumps(document), status, headers, media_type=PROBLEM_JSON)
