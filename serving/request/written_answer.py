"""The answers that the protocol writes itself, without ASGI, because a refusal must cost little."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from classifier.errors import Unavailable
from serving.request.problems import NOSNIFF, problem_response


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """The bytes of an answer that the protocol writes itself."""

    status: int
    content: bytes
    ends_connection: bool

    def to(self, method: str) -> bytes:
        """The answer as a request of this method gets it: without a body for HEAD."""
        return self.content[: self.content.index(b"\r\n\r\n") + 4] if method == "HEAD" else self.content


def written_answer(error: Exception, keep_alive: bool) -> WrittenAnswer:
    """The answer to a request that is refused with this error."""
    retry_after = (error.retry_after,) if isinstance(error, Unavailable) else ()
    return _cached_answer(type(error), keep_alive, str(error), *retry_after)  # type: ignore[arg-type]


@functools.lru_cache(256)
def _cached_answer(kind: Callable[..., Exception], keep_alive: bool, *arguments: str | int) -> WrittenAnswer:
    response = problem_response(kind(*arguments))
    ends = not keep_alive or response.headers.get("connection") == "close"
    if ends:
        response.headers["connection"] = "close"
    lines = [b"%s: %s\r\n" % header for header in [*response.raw_headers, NOSNIFF]]
    content = b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)])
    return WrittenAnswer(response.status_code, content, ends)
