"""uvicorn's HTTP protocol with a door and bounds.

While the door is closed, a request is refused once its headers are there: a refusal through ASGI costs a
scope, a task and a response, half of what an answer of a light model costs. Under twice the load that it can
bear, a service would then be busy with nothing but refusing. A request that is plain and came in one piece is
refused even without the parser's callbacks.

The bounds are those that uvicorn lacks: on the bytes of headers and trailers, and on the time that a caller
may leave a request unsent or an answer unread.
"""

import asyncio
import functools
import math
import re
from collections.abc import Callable
from typing import Any, ClassVar

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from classifier.batching import Batcher
from classifier.errors import HeadersTooLarge, MalformedRequest, RequestError, Unavailable
from classifier.settings import Settings
from serving.hangup import CONNECTION
from serving.logs import log_request
from serving.metrics import requests
from serving.problems import problem_response
from serving.routes import ROUTES

MAX_HEAD_BYTES = 65_536
"""Of a request that are not its body: more without a word in between are not read."""

_GUARDED = {route.path.encode(): route.path for route in ROUTES if route.request is not None}


def install(settings: Settings) -> None:
    """Make it the protocol of the server that this process is going to run.

    BentoML leaves the choice to uvicorn, which looks `auto` up in this table.
    """
    DoorProtocol.logs_refusals = settings.logging.access
    DoorProtocol.patience_seconds = settings.api.request_seconds
    DoorProtocol.keep_alive_seconds = settings.api.keep_alive_seconds
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{DoorProtocol.__name__}"


_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_LINE = (
    rb"(?:(?!(?i:content-length|transfer-encoding|connection|expect|upgrade))"
    rb"%(token)b:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n|(?i:connection: ?keep-alive)\r\n)"
) % {b"token": _TOKEN}
_PLAIN = re.compile(
    rb"POST (%(paths)b) HTTP/1\.1\r\n%(line)b*+(?i:content-length): ?([0-9]{1,9})\r\n%(line)b*+\r\n"
    % {b"paths": b"|".join(map(re.escape, _GUARDED)), b"line": _LINE}
)
"""The head of a request about whose end and connection no two parsers can disagree: its path and length."""


class DoorProtocol(HttpToolsProtocol):
    """One connection: a `serving.hangup.Connection`."""

    door: ClassVar[Batcher[Any] | None] = None
    """Whose `refusal` says why no request is let in; the service puts its batcher here."""

    logs_refusals: ClassVar[bool] = False

    sees_off: ClassVar[bool] = False
    """Whether each connection ends with its next answer, so that its caller goes on elsewhere."""

    patience_seconds: ClassVar[float] = 30.0
    """How long nothing may happen while it is the caller's turn; what has stalled is ended by twice that."""

    keep_alive_seconds: ClassVar[float] = 75.0
    """How long a connection is kept after an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look, now and then, whether the connection has stalled."""
        super().connection_made(transport)
        self.timeout_keep_alive = self.keep_alive_seconds  # type: ignore[assignment]
        self.is_lost = False
        self.when_lost: Callable[[], None] | None = None
        self._runs: Any = None
        self._is_ending = self._is_deaf = self._is_last_look = self._is_in_head = False
        self._is_between_requests = True
        self._bytes_of_head = 0
        self._refused_at = -math.inf
        self._stalled_at: object = self._progress()
        self._look = self.loop.call_later(self.patience_seconds, self._end_if_stalled)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, and let go of all: they refer to the connection."""
        self._look.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._tell_the_one_that_runs()
        self.is_lost = True
        if self.when_lost is not None:
            self.when_lost()
        self.cycle = self.scope = self._runs = self._stalled_at = None  # type: ignore[assignment]
        self.pipeline.clear()

    def _end_if_stalled(self) -> None:
        """End the connection if it was the caller's turn at the last look, too, and no request came since."""
        # Between requests uvicorn has a timer of its own.
        owes_request = self._is_its_turn() and self.timeout_keep_alive_task is None
        if not owes_request and not self.transport.get_write_buffer_size():
            self._stalled_at = None
        elif self._stalled_at == self._progress():
            self._abort()
            return
        else:
            self._stalled_at = self._progress()
        self._look = self.loop.call_later(self.patience_seconds, self._end_if_stalled)

    def _end(self) -> None:
        """Send no more, and close when the caller does.

        With bytes unread the kernel would reset the connection, and what is written might not arrive.
        """
        self._is_ending = self._is_deaf = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def write(self, data: bytes) -> None:
        """For the request that is being answered, to which this is the transport."""
        self.transport.write(data)

    def is_closing(self) -> bool:
        """For the same: nothing can be written behind the last answer."""
        return self._is_ending or self.transport.is_closing()

    def close(self) -> None:
        """For the same: its answer is written, and was the last."""
        if self._is_between_requests:
            self.transport.close()
        else:
            self._end()

    def on_response_complete(self) -> None:
        """Go on to the next request, but not after the last answer."""
        if self._is_ending:
            self.pipeline.clear()
            self.flow.resume_reading()
        else:
            super().on_response_complete()

    def _abort(self) -> None:
        """End the connection at once: `close` would wait until all that is written is read."""
        self._tell_the_one_that_runs()  # The loop says that the connection is lost in its next turn only.
        self.transport.abort()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._runs = cycle
        super()._start_asgi_task(cycle, app)

    def _tell_the_one_that_runs(self) -> None:
        """Of pipelined requests uvicorn tells the last one only."""
        if self._runs is not None:
            self._runs.disconnected = True
            self._runs.message_event.set()

    def _progress(self) -> object:
        """What changes with each request."""
        return self.cycle, self._refused_at

    def timeout_keep_alive_handler(self) -> None:
        """End the connection, unless a refusal came meanwhile or a request can be read."""
        left = self._refused_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._is_last_look = False
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        elif not self._is_last_look:
            self._is_last_look = True  # The loop sees to timers before it reads.
            self.timeout_keep_alive_task = self.loop.call_later(0.001, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def data_received(self, data: bytes) -> None:
        """Refuse a plain request in one piece at once, and read on only while headers and trailers end."""
        if self._is_deaf:
            return
        if self._is_between_requests and self._is_its_turn() and self.door is not None:
            error = self.door.refusal()
            if error is not None:
                plain = _PLAIN.match(data)
                if plain is not None and plain.end() + int(plain[2]) == len(data):
                    self._refuse(_GUARDED[plain[1]], error, keep_alive=True)
                    return
        self._bytes_of_head += len(data)
        super().data_received(data)
        if self._bytes_of_head > MAX_HEAD_BYTES and not self._is_deaf and not self.transport.is_closing():
            why = f"the headers have more than {MAX_HEAD_BYTES} bytes"
            self._give_up(self.parser.get_method().decode(), HeadersTooLarge, why)

    def on_message_begin(self) -> None:
        """Note that the parser is in a request."""
        self._is_between_requests = self._is_last_look = False
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse a request to the model while the door is closed; but never before an answer that is due."""
        self._bytes_of_head = 0
        if self._is_ending:
            return
        if self._is_its_turn() and self.parser.get_method() == b"POST":
            path = _GUARDED.get(self.url.partition(b"?")[0])
            if path is not None and self.door is not None:
                error = self.door.refusal()
                if error is not None:
                    self._refuse(path, error, self.parser.should_keep_alive())
                    self.cycle = _Refused()  # type: ignore[assignment]
                    self._is_in_head = False
                    return
                self.door.let_in()
        self.scope["extensions"] = {CONNECTION: self}  # type: ignore[dict-item]
        before = self.cycle
        super().on_headers_complete()  # It fails where the target is none.
        self._is_in_head = False
        if self.cycle is not before:
            self.cycle.transport = self  # type: ignore[assignment]
            self.cycle.keep_alive = self.cycle.keep_alive and not self.sees_off

    def on_body(self, body: bytes) -> None:
        """Note that no headers are read now."""
        self._bytes_of_head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the parser is between requests."""
        self._bytes_of_head = 0
        self._is_between_requests = True
        super().on_message_complete()
        if self._is_its_turn() and not self._is_ending:
            self._await_next_request()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """What came is no HTTP."""
        if not self._is_deaf:
            self._give_up("-", MalformedRequest, "what came is not HTTP")

    def _give_up(self, method: str, kind: type[RequestError], why: str) -> None:
        """Read no more; say why if that is the next answer, else end behind those that are due."""
        answer, _ = _answer(kind, False, why)  # type: ignore[arg-type]
        is_in_body = not (self._is_in_head or self._is_between_requests)
        if self._is_its_turn():
            if not is_in_body:
                path = self.url.partition(b"?")[0].decode("latin-1")
                self._write_refusal(method, path, kind.status, answer)
            self._end()
        elif is_in_body and self._runs is self.cycle and not self._runs.response_started:
            self.transport.write(answer)
            self._tell_the_one_that_runs()  # It will be counted there.
            self.cycle = _Refused()  # type: ignore[assignment]
            self._end()
        else:
            if is_in_body and self._runs is not self.cycle:
                self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._runs
            self.cycle.keep_alive = False
            self._is_deaf = True

    def _is_its_turn(self) -> bool:
        """Whether no answer to an earlier request is due."""
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self, path: str, error: Unavailable, keep_alive: bool) -> None:
        keep_alive = keep_alive and not self.sees_off
        answer, ends = _answer(type(error), keep_alive, str(error), error.retry_after)  # type: ignore[arg-type]
        self._write_refusal("POST", path, error.status, answer)
        if ends:
            self._end()
            return
        self._refused_at = self.loop.time()
        self._await_next_request()
        if self.flow.write_paused:
            self.flow.pause_reading()

    def _write_refusal(self, method: str, path: str, status: int, answer: bytes) -> None:
        self.transport.write(answer)
        requests.observe(path, status, 0.0)
        if self.logs_refusals:
            log_request(method, path, status, 0.0)

    def _await_next_request(self) -> None:
        """For as long as an answered connection is kept, unless that has begun already."""
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._is_last_look = False
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def resume_writing(self) -> None:
        """Read on as well, where that waited for refusals to be taken."""
        super().resume_writing()
        if self._is_its_turn():
            self.flow.resume_reading()


class _Refused:
    """What uvicorn asks of a request that is answered; the rest of its body will be skipped."""

    response_complete = True
    message_event = asyncio.Event()


@functools.lru_cache(256)
def _answer(kind: Callable[..., RequestError], keep_alive: bool, *why: str | int) -> tuple[bytes, bool]:
    """The bytes of an answer, and whether the connection ends with it."""
    response = problem_response(kind(*why))
    ends = not keep_alive or response.headers.get("connection") == "close"
    if ends:
        response.headers["connection"] = "close"
    lines = [b"%s: %s\r\n" % header for header in response.raw_headers]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)]), ends
