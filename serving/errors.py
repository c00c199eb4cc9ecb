"""The errors that a client gets as `application/problem+json` (RFC 9457)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from classifier.errors import (
    DeadlinePassed,
    Draining,
    NotBinary,
    QueueFull,
    Refusal,
    Unavailable,
    UnknownLabel,
)

CLOSE = {"connection": "close"}
"""The header of an answer that ends the connection."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken rule: where (`loc`, as in JSON), what the rule is (`msg`), and its kind (`type`)."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class HttpError(Exception):
    """Base of the errors that a client gets; the message is the problem's `detail`."""

    status: ClassVar[int]
    title: ClassVar[str]

    def headers(self) -> dict[str, str]:
        """Headers of the answer besides its media type."""
        return {}

    def members(self) -> dict[str, Any]:
        """Members of the problem besides those of the standard."""
        return {}


class MalformedRequest(HttpError):
    """The request is not HTTP; the connection ends."""

    status = 400
    title = "Malformed request"


class MalformedBody(HttpError):
    """The body is not JSON."""

    status = 400
    title = "Malformed JSON"


class Unauthorized(HttpError):
    """The route needs an API key, and the request has none that is known."""

    status = 401
    title = "Unauthorized"

    def headers(self) -> dict[str, str]:
        """The header that names the scheme of the key."""
        return {"www-authenticate": "Bearer"}


class RouteNotFound(HttpError):
    """There is no such route."""

    status = 404
    title = "Not found"


class FeedbackOff(HttpError):
    """The service keeps no predictions (`feedback.path`), so it takes no labels."""

    status = 404
    title = "Feedback is off"


class FeedbackForOneLabel(HttpError):
    """The model gives a text several labels, or none; feedback is for models with one label a text."""

    status = 404
    title = "Feedback is for one label"


class PredictionNotFound(HttpError):
    """This replica remembers no such prediction."""

    status = 404
    title = "Prediction not found"


class MethodNotAllowed(HttpError):
    """The route exists, but for another method."""

    status = 405
    title = "Method not allowed"

    def __init__(self, detail: str, allow: str) -> None:
        super().__init__(detail)
        self._allow = allow

    def headers(self) -> dict[str, str]:
        """The header that lists the methods of the route."""
        return {"allow": self._allow}


class RequestTooSlow(HttpError):
    """No answer began within `api.request_seconds`, most often because the body did not arrive."""

    status = 408
    title = "Request timeout"

    def headers(self) -> dict[str, str]:
        """The header that ends the connection, because the rest of the body is not read."""
        return CLOSE


class BodyTooLarge(HttpError):
    """The body is larger than `api.max_body_bytes`; it was not read to its end."""

    status = 413
    title = "Body too large"


class UnsupportedMediaType(HttpError):
    """The body is not declared as `application/json`."""

    status = 415
    title = "Unsupported media type"


class MisdirectedRequest(HttpError):
    """The request is for a host name that is not in `api.allowed_hosts`."""

    status = 421
    title = "Misdirected request"


class InvalidRequest(HttpError):
    """The body is JSON but breaks the contract; the problem lists each broken rule."""

    status = 422
    title = "Invalid request"

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(error.msg for error in errors))
        self.errors = errors

    def members(self) -> dict[str, Any]:
        """The list of broken rules."""
        return {
            "errors": [
                {"loc": list(error.loc), "msg": error.msg, "type": error.type} for error in self.errors
            ]
        }


class HeadersTooLarge(HttpError):
    """The headers or trailers of the request are larger than the service reads."""

    status = 431
    title = "Headers too large"


class ClientClosedRequest(HttpError):
    """The client disconnected; nobody reads the answer, but the metrics count it."""

    status = 499
    title = "Client closed request"


class InternalError(HttpError):
    """The service failed. The client gets an id that is in the log, and no stack trace."""

    status = 500
    title = "Internal error"

    def __init__(self, error_id: str) -> None:
        super().__init__(f"the service failed; its log has the cause under id {error_id}")
        self._id = error_id

    def members(self) -> dict[str, Any]:
        """The id under which the log has the cause."""
        return {"id": self._id}


class ServiceUnavailable(HttpError):
    """The service cannot take this request now; the header Retry-After says when to try again."""

    status = 503
    title = "Service unavailable"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self._retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """The header that says when to retry."""
        return {"retry-after": str(self._retry_after)}


class Overloaded(ServiceUnavailable):
    """The queue, or another bound of the service, is full."""

    title = "Overloaded"


class ShuttingDown(ServiceUnavailable):
    """The service is about to stop."""

    title = "Shutting down"

    def headers(self) -> dict[str, str]:
        """The headers that say when to retry, and that end this connection."""
        return super().headers() | CLOSE


class GatewayTimeout(HttpError):
    """The request waited until its deadline."""

    status = 504
    title = "Deadline passed"


SEEN_BY_CLIENTS: tuple[type[HttpError], ...] = (
    MalformedRequest,
    MalformedBody,
    Unauthorized,
    RouteNotFound,
    FeedbackOff,
    FeedbackForOneLabel,
    PredictionNotFound,
    MethodNotAllowed,
    RequestTooSlow,
    BodyTooLarge,
    UnsupportedMediaType,
    MisdirectedRequest,
    InvalidRequest,
    HeadersTooLarge,
    InternalError,
    Overloaded,
    ShuttingDown,
    ServiceUnavailable,
    GatewayTimeout,
)
"""The errors that the API's page lists, in the order of their statuses."""

_FROM_CORE: dict[type[Exception], Callable[[Any], HttpError]] = {
    Unavailable: lambda error: ServiceUnavailable(str(error), error.retry_after),
    QueueFull: lambda error: Overloaded(str(error), error.retry_after),
    Draining: lambda error: ShuttingDown(str(error), error.retry_after),
    DeadlinePassed: lambda error: GatewayTimeout(str(error)),
    NotBinary: lambda error: InvalidRequest((FieldError(("body", "thresholds"), str(error), "not_binary"),)),
    UnknownLabel: lambda error: InvalidRequest(
        (FieldError(("body", "label"), f"{error}; GET /model/info lists them", "unknown_label"),)
    ),
}
"""The HTTP error for each error of the core that is not a fault of the service."""


def as_http(error: Exception) -> HttpError | None:
    """The error that a client gets; None for an error that the service did not expect."""
    if isinstance(error, HttpError):
        return error
    translate = _FROM_CORE.get(type(error))
    return translate(error) if translate is not None else None


def refusal_of(error: Exception) -> Refusal | None:
    """Why a request with this error was refused or not finished; None if the request itself is at fault."""
    if isinstance(error, Unavailable):
        return error.reason
    return Refusal.DEADLINE if isinstance(error, DeadlinePassed) else None
