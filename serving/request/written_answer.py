"""The answers that the protocol writes itself, without ASGI, because a refusal must cost little."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from classifier.errors import Unavailable
from serving.request.problems import NOSNIFF, problem_response
from serving.telemetry import request_id
from serving.telemetry.exchange import Exchange


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """An answer that the protocol writes itself."""

    status: int
    head: bytes
    """The status line and the headers, without the id of the request."""
    body: bytes
    ends_connection: bool

    def to(self, exchange: Exchange) -> bytes:
        """The bytes to write as the answer of a request; the answer to HEAD has no body."""
        id_and_end = b"%s: %s\r\n\r\n" % (request_id.HEADER, exchange.request_id)
        return self.head + id_and_end + (b"" if exchange.method == "HEAD" else self.body)


def written_answer(error: Exception, keep_alive: bool) -> WrittenAnswer:
    """The answer to a request that is refused with this error."""
    arguments = (error.reason, error.retry_after) if isinstance(error, Unavailable) else ()
    return _cached_answer(type(error), keep_alive, str(error), *arguments)  # type: ignore[arg-type]


@functools.lru_cache(256)
def _cached_answer(kind: Callable[..., Exception], keep_alive: bool, *arguments: str | int) -> WrittenAnswer:
    response = problem_response(kind(*arguments))
    ends = not keep_alive or response.headers.get("connection") == "close"
    if ends:
        response.headers["connection"] = "close"
    lines = [b"%s: %s\r\n" % header for header in [*response.raw_headers, NOSNIFF]]
    head = b"".join([STATUS_LINE[response.status_code], *lines])
    return WrittenAnswer(response.status_code, head, bytes(response.body), ends)
