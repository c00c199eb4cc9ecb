"""The errors of the core and the edge; those that a caller gets have their HTTP status."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken rule: where (`loc`, as in JSON), what the rule is (`msg`), and its kind (`type`)."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class ClassifierError(Exception):
    """Base of all errors of this project; the message names the thing, its value and the rule."""


class SettingsError(ClassifierError):
    """The configuration cannot be used; the service does not start."""


class ArtifactError(ClassifierError):
    """The model artifact cannot be used; the service does not start."""


class RequestError(ClassifierError):
    """Base of the errors that a caller gets, as `application/problem+json`."""

    status = 500
    title = "Internal error"


class MalformedRequest(RequestError):
    """The request is not HTTP; the connection ends."""

    status = 400
    title = "Malformed request"


class MalformedBody(RequestError):
    """The body is not JSON."""

    status = 400
    title = "Malformed JSON"


class Unauthorized(RequestError):
    """The route needs an API key, and the request has none that is known."""

    status = 401
    title = "Unauthorized"


class RouteNotFound(RequestError):
    """There is no such route."""

    status = 404
    title = "Not found"


class MethodNotAllowed(RequestError):
    """The route exists, for another method."""

    status = 405
    title = "Method not allowed"

    def __init__(self, detail: str, allow: str) -> None:
        super().__init__(detail)
        self.allow = allow


class RequestTooSlow(RequestError):
    """The body did not come within `api.request_seconds`."""

    status = 408
    title = "Request timeout"


class BodyTooLarge(RequestError):
    """The body is over `api.max_body_bytes`; it was not read to its end."""

    status = 413
    title = "Body too large"


class UnsupportedMediaType(RequestError):
    """The body is not declared as `application/json`."""

    status = 415
    title = "Unsupported media type"


class MisdirectedRequest(RequestError):
    """The request is for a host name that is not in `api.allowed_hosts`."""

    status = 421
    title = "Misdirected request"


class InvalidRequest(RequestError):
    """The body is JSON but breaks the contract; `errors` holds each broken rule."""

    status = 422
    title = "Invalid request"

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(error.msg for error in errors))
        self.errors = errors


class HeadersTooLarge(RequestError):
    """The request's headers, or its trailers, are over what is read of them."""

    status = 431
    title = "Headers too large"


class CallerGone(RequestError):
    """The caller hung up; nobody reads the answer, but the metrics count it."""

    status = 499
    title = "Client closed request"


class Unavailable(RequestError):
    """The service cannot take this request now; it may be sent again after `retry_after` seconds."""

    status = 503
    title = "Service unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class QueueFull(Unavailable):
    """So much waits already that this request would pass a bound of the queue."""

    title = "Overloaded"


class Draining(Unavailable):
    """The service is about to stop and takes no more requests."""

    title = "Shutting down"


class DeadlinePassed(RequestError):
    """The request waited to its deadline; its work was not done."""

    status = 504
    title = "Deadline passed"


class WrongResultCount(ClassifierError):
    """A run of the model gave another number of results than it got texts."""


class InternalError(RequestError):
    """A fault of the service; the caller gets an id that is in the log, and no stack trace."""
