"""uvicorn's HTTP protocol with a door and bounds.

While the door is closed, a request is refused once its headers are there: a refusal through ASGI costs a
scope, a task and a response, half of what an answer of a light model costs. Under twice the load that it can
bear, a service would then be busy with nothing but refusing. A request that is plain and came in one piece is
refused even without the parser's callbacks.

The bounds are those that uvicorn lacks: on connections, on the bytes and the number of headers and trailers,
on all that clients make the service hold (`serving.budget`), and on the time that a client may leave a
request unsent or an answer unread.

No two parsers may disagree about where a request ends. So what is ambiguous is refused, and an upgrade that
is offered is never taken: the request is read as if the offer were not there.
"""

import asyncio
import functools
import math
import re
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
import uvicorn.config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from classifier.batching import Batcher
from classifier.errors import (
    Draining,
    HeadersTooLarge,
    MalformedRequest,
    QueueFull,
    RequestError,
    Unavailable,
)
from classifier.settings import ApiSettings, Settings
from serving.budget import ByteBudget
from serving.hangup import CONNECTION
from serving.logs import log_request
from serving.metrics import requests
from serving.problems import NOSNIFF, problem_response
from serving.routes import ROUTES

MAX_HEAD_BYTES = 65_536
"""Most bytes of a request's target, headers and trailers."""

MAX_HEADERS = 100
"""Most headers and trailers of a request."""

REQUEST_BYTES = 4096
"""What a request that is answered or waits counts in the budget beside its own bytes."""

SLICE_BYTES = 4096
"""Bytes that are parsed before a look at whether a request came whole; those behind it wait unparsed."""

UNREAD_ANSWER_BYTES = 16_384
"""Bytes of an answer that a client may leave unread before they count in the budget."""

REFUSED_CONNECTIONS = 256
"""Connections beyond the limit that may be open for as long as they are told so."""

REFUSED_SECONDS = 1.0
"""How long a client may take to read that it is refused, beyond the limit of connections or at the end."""

PROBE_SECONDS = 0.1
"""After this time a client that sends no more is asked, by an interim answer, whether it still reads."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_GUARDED = {route.path.encode(): route.path for route in ROUTES if route.request is not None}

_NOT_IN_TRAILERS = frozenset(
    {b"connection", b"content-length", b"host", b"transfer-encoding", b"upgrade", b"authorization"}
)
"""What says where a request ends or who asks: a trailer comes too late for that."""

_AUTHORITY = re.compile(rb"[a-z]+://([^/?#]*)", re.IGNORECASE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


def install(settings: Settings) -> None:
    """Make it the protocol of the server that this process is going to run.

    BentoML leaves the choice to uvicorn, which looks `auto` up in this table.
    """
    DoorProtocol.logs_refusals = settings.logging.access
    DoorProtocol.patience_seconds = settings.api.request_seconds
    DoorProtocol.keep_alive_seconds = settings.api.keep_alive_seconds
    DoorProtocol.budget = ByteBudget(settings.api.max_held_bytes)
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


class _Flow(FlowControl):
    """Flow control that reads no more while bytes that were read wait to be parsed."""

    has_unparsed = False

    def resume_reading(self) -> None:
        if not self.has_unparsed:
            super().resume_reading()


class DoorProtocol(HttpToolsProtocol):
    """One connection: a `serving.hangup.Connection` and a `serving.budget.Holder`."""

    door: ClassVar[Batcher[Any] | None] = None
    """Whose `refusal` says why no request is let in; the service puts its batcher here."""

    budget: ClassVar[ByteBudget] = ByteBudget(ApiSettings().max_held_bytes)
    """What all connections hold together."""

    max_connections: ClassVar[int] = ApiSettings().max_connections

    logs_refusals: ClassVar[bool] = False

    sees_off: ClassVar[bool] = False
    """Whether each connection ends with its next answer, so that its client goes on elsewhere."""

    patience_seconds: ClassVar[float] = 30.0
    """How long nothing may happen while it is the client's turn; what has stalled is ended by twice that."""

    keep_alive_seconds: ClassVar[float] = 75.0
    """How long a connection is kept after an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse the connection if there are too many; else look, now and then, whether it has stalled."""
        self.connections.add(self)
        self.transport = transport
        transport.set_write_buffer_limits(UNREAD_ANSWER_BYTES)
        self.flow = _Flow(transport)
        self.server, self.client = get_local_addr(transport), get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        self.timeout_keep_alive = self.keep_alive_seconds  # type: ignore[assignment]
        self.is_lost = False
        self.when_lost: Callable[[], None] | None = None
        self.failure: RequestError | None = None
        self._running: Any = None
        """The request that is being answered. `cycle` is the last one whose headers came."""
        self._is_ending = self._ignores_input = self._is_half_closed = False
        self._is_last_look = self._is_in_head = False
        self._has_body_in_slice = self._has_target_in_slice = False
        self._is_between_requests = True
        self._declined_offer = b""
        self._header_bytes = self._header_count = self._hosts = 0
        self._host = b""
        self._is_continue_awaited = False
        self._unfinished_bytes = 0
        self._unparsed = bytearray()
        self._request_bytes = self._held = 0
        self._refused_at = -math.inf
        self._stalled_at: object = self._progress()
        self._look = self.loop.call_later(self.patience_seconds, self._end_if_stalled)
        if len(self.connections) > self.max_connections:
            self._refuse_connection()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, and let go of all: they refer to the connection."""
        self._look.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._disconnect_running()
        self.is_lost = True
        if self.when_lost is not None:
            self.when_lost()
        self.cycle = self.scope = self._running = self._stalled_at = None  # type: ignore[assignment]
        self.pipeline.clear()
        self.budget.stop_awaiting(self)
        self.budget.held -= self._held
        self._held = 0

    def _refuse_connection(self) -> None:
        if len(self.connections) > self.max_connections + REFUSED_CONNECTIONS:
            self._abort()
            return
        error = QueueFull(f"{self.max_connections} connections are open, and no more are allowed")
        self._write_refusal("-", "", error, keep_alive=False)
        self._end()
        self._abort_later()

    def _end_if_stalled(self) -> None:
        """End the connection if it was the client's turn at the last look, too, and no request came since."""
        # Between requests uvicorn has a timer of its own.
        owes_request = self._is_ending or (self._is_its_turn() and self.timeout_keep_alive_task is None)
        if not owes_request and not self.transport.get_write_buffer_size():
            self._stalled_at = None
        elif self._stalled_at == self._progress():
            self._abort()
            return
        else:
            self._stalled_at = self._progress()
        self._look = self.loop.call_later(self.patience_seconds, self._end_if_stalled)

    def _end(self) -> None:
        """Send no more, and close when the client does.

        With bytes unread the kernel would reset the connection, and what is written might not arrive.
        """
        self._is_ending = True
        self._ignore_input()
        if self.transport.can_write_eof() and not self._is_half_closed:
            self.transport.write_eof()
        else:
            self.transport.close()

    def _ignore_input(self) -> None:
        """Read what comes without keeping it, and forget what was kept of an unfinished request."""
        self._ignores_input = True
        self._forget_unparsed()
        self.headers = []
        self.parser = self._new_parser()
        self.flow.resume_reading()

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn does.
        return parser

    def write(self, data: bytes) -> None:
        """Write for the request that is being answered, to which this is the transport."""
        self.transport.write(data)

    def is_closing(self) -> bool:
        """Whether the last answer is written, for the same request: nothing can follow it."""
        return self._is_ending or self.transport.is_closing()

    def close(self) -> None:
        """Close for the same request: its answer is written, and was the last."""
        if self._is_between_requests:
            self.transport.close()
        else:
            self._end()

    def on_response_complete(self) -> None:
        """Go on to the next request, but not after the last answer."""
        if self._running is not None:
            self._request_bytes -= self._running.held_bytes
        if self._is_ending:
            self.pipeline.clear()
            self.flow.resume_reading()
        else:
            super().on_response_complete()
            if self._unparsed and not self.is_closing():
                self._parse_on()
                if self._is_its_turn():
                    self.flow.resume_reading()  # What was parsed is the beginning of a request.
            if self._is_half_closed and (self._is_its_turn() or not self._has_answers_due()):
                self.transport.close()
        self._settle()

    def _abort(self) -> None:
        """End the connection at once: `close` would wait until all that is written is read."""
        self._disconnect_running()  # The loop says that the connection is lost in its next turn only.
        self.transport.abort()

    def _abort_later(self) -> None:
        """Give the client a moment to read the last answer and to close."""
        self._look.cancel()
        self._look = self.loop.call_later(REFUSED_SECONDS, self._abort)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _disconnect_running(self) -> None:
        """Tell the request that is being answered that nobody reads on; uvicorn tells the last one only."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

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

    # What comes in

    def data_received(self, data: bytes) -> None:
        """Refuse a plain request in one piece at once; parse anything else, and count what is held of it."""
        if self._ignores_input:
            return
        if self._is_between_requests and self._is_its_turn() and not self._unparsed:
            error = self._refusal()
            if error is not None:
                plain = _PLAIN.match(data)
                if plain is not None and plain.end() + int(plain[2]) == len(data):
                    self._refuse(_GUARDED[plain[1]], error, keep_alive=True)
                    return
        self._unset_keepalive_if_required()
        if self._unparsed or self._is_answering() or len(data) > SLICE_BYTES:
            self._unparsed += data
            self._parse_on()
        else:
            self._parse(data)
        self._settle()
        if self.budget.is_overspent:
            self.budget.make_room()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the requests that came whole: a client may end its side first and read on."""
        if self._is_its_turn() or self._is_ending:
            return False
        self._is_half_closed = True
        if self._ignores_input:
            return True
        self.loop.call_later(PROBE_SECONDS, self._probe_client, 2)
        return self._has_answers_due()

    def _has_answers_due(self) -> bool:
        """Whether a request came whole, of a client that sends no more; the one that did not is dropped."""
        if self._unparsed or self._is_between_requests or self._ignores_input:
            return True
        if self._is_in_body() and self._running is self.cycle:
            return False
        self._end_behind_due_answers()
        return True

    def _probe_client(self, times: int) -> None:
        """Find out whether a client that sends no more is gone: then its kernel answers with a reset.

        The reset that the first interim answer brings shows when the second is written.
        """
        request = self._running
        if request is None or request.response_complete or request.scope["http_version"] == "1.0":
            return
        if not request.response_started and not self.is_closing():
            self.transport.write(CONTINUE)
            if times > 1:
                self.loop.call_later(PROBE_SECONDS, self._probe_client, times - 1)

    def shutdown(self) -> None:
        """End the connection with its last answer; a request that has not come whole is refused."""
        if self._is_between_requests or self._ignores_input:
            super().shutdown()
            return
        self._give_up(Draining("the service stopped before the whole request had come"))
        self._settle()
        if self._is_ending:
            self._abort_later()

    def end_for_room(self) -> None:
        """Refuse the request that has not come whole, since too much is held; or drop those that wait.

        A client that sends requests behind one that is being answered has to send them again if the
        connection ends with that answer.
        """
        waiting: Any = [cycle for cycle, _ in self.pipeline]
        if waiting:
            self._request_bytes -= sum(cycle.held_bytes for cycle in waiting)
            self.pipeline.clear()
            self.cycle = self._running
            self.cycle.keep_alive = False
            self._ignore_input()
        else:
            self._give_up(self.budget.full())
        self._settle()

    def _parse_on(self) -> None:
        """Parse what was read, as long as no request that came whole is being answered."""
        while self._unparsed and not self._is_answering() and not self._ignores_input:
            part = bytes(self._unparsed[:SLICE_BYTES])
            del self._unparsed[:SLICE_BYTES]
            self._unset_keepalive_if_required()
            self._parse(part)
        self._flow_has_unparsed(bool(self._unparsed))

    def _forget_unparsed(self) -> None:
        self._unparsed.clear()
        self._flow_has_unparsed(False)

    def _flow_has_unparsed(self, has_unparsed: bool) -> None:
        if has_unparsed:
            self.flow.pause_reading()
        self.flow.has_unparsed = has_unparsed  # type: ignore[attr-defined]

    def _parse(self, data: bytes) -> None:
        """Parse the next bytes, and count those of a line or head that is not finished."""
        self._has_body_in_slice = self._has_target_in_slice = False
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            known = isinstance(cause, RequestError)
            self._give_up(cause if known else MalformedRequest("what came is not HTTP"))  # type: ignore[arg-type]
            return
        if self._has_body_in_slice:
            self._unfinished_bytes = 0
            return
        line_end = -1 if self._is_between_requests else data.rfind(b"\n")
        if line_end < 0 and self._has_target_in_slice:
            return  # The target is counted already.
        self._unfinished_bytes = (
            self._unfinished_bytes + len(data) if line_end < 0 else len(data) - line_end - 1
        )
        if self._header_bytes + self._unfinished_bytes > MAX_HEAD_BYTES and not self._ignores_input:
            self._give_up(_head_too_large())

    def _feed(self, data: bytes) -> None:
        """Hand bytes to the parser; where a request offers an upgrade, it is read again without the offer."""
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            head, self._declined_offer = self._declined_offer, b""
            self.parser = self._new_parser()
            self.parser.feed_data(head)

    def on_message_begin(self) -> None:
        """Note that the parser is in a request."""
        self._is_between_requests = self._is_last_look = False
        self._is_in_head = True
        self._header_bytes = self._header_count = self._hosts = self._unfinished_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Keep a part of the target, within the bounds of a head."""
        self._has_target_in_slice = True
        self._count_header_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, within the bounds of a head. Trailers are counted and dropped."""
        self._count_header_bytes(len(name) + len(value) + 4)
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            raise HeadersTooLarge(
                f"the request has more than {MAX_HEADERS} headers, which is the most allowed"
            )
        name, value = name.lower(), value.rstrip(b" \t")
        if not self._is_in_head:
            if name in _NOT_IN_TRAILERS:
                raise MalformedRequest(f"a trailer is named {name.decode()}, which only a header may be")
            return
        if name == b"host":
            self._hosts += 1
            self._host = value
            if not _HOST.fullmatch(value):
                raise MalformedRequest("the Host header is not a host with an optional port")
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _count_header_bytes(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > MAX_HEAD_BYTES:
            raise _head_too_large()

    def on_headers_complete(self) -> None:
        """Refuse a request to the model while the door is closed; but never before an answer that is due."""
        if self.parser.should_upgrade():
            self._declined_offer = self._head_without_offer()
            return
        if self._is_ending:
            return
        version = self._check_framing()
        self.budget.stop_awaiting(self)  # No room is to be made by refusing what is let in here.
        method = self.parser.get_method()
        if self._is_its_turn() and method == b"POST":
            path = _GUARDED.get(self.url.partition(b"?")[0])
            error = self._refusal() if path is not None else None
            if path is not None and error is not None:
                is_kept = version != "1.0" and self.parser.should_keep_alive()
                self._refuse(path, error, is_kept and not self.expect_100_continue)
                self.cycle = _Refused()  # type: ignore[assignment]
                self._is_in_head = False
                return
            if path is not None and self.door is not None:
                self.door.let_in()
        if not self._is_its_turn() and self.budget.is_overspent:
            raise self.budget.full()
        if version == "1.0":
            self.expect_100_continue = False  # Its client knows no interim answers.
        self.scope["extensions"] = {CONNECTION: self}  # type: ignore[dict-item]
        super().on_headers_complete()  # It fails where the target is none.
        self._is_in_head = False
        cycle: Any = self.cycle
        cycle.transport = self
        # A client that is answered instead of told to continue may send its body or leave it out.
        self._is_continue_awaited = cycle.keep_alive and self.expect_100_continue
        cycle.keep_alive = cycle.keep_alive and not self.sees_off and not self.expect_100_continue
        cycle.held_bytes = REQUEST_BYTES + self._header_bytes
        self._request_bytes += cycle.held_bytes

    def _check_framing(self) -> str:
        """Refuse what another parser may read in another way; returns the version of HTTP.

        Raises MalformedRequest.
        """
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise MalformedRequest(f"the version is HTTP/{version}; HTTP/1.1 and HTTP/1.0 are read")
        if self._hosts > 1:
            raise MalformedRequest(f"there are {self._hosts} Host headers; a request has one")
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and codings != [b"chunked"]:
            raise MalformedRequest("Transfer-Encoding is not chunked alone, the only coding that is read")
        if version == "1.0":
            if codings:
                raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding")
        elif not self._hosts:
            raise MalformedRequest("there is no Host header; HTTP/1.1 needs one")
        absolute = _AUTHORITY.match(self.url)
        if absolute is not None and self._hosts and absolute[1].lower() != self._host.lower():
            raise MalformedRequest("the target names another host than the Host header")
        return version

    def _head_without_offer(self) -> bytes:
        """The head that was parsed, less the upgrade that it offers; raises MalformedRequest for CONNECT."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise MalformedRequest("CONNECT asks for a tunnel, and this service is not a proxy")
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, unless its request is answered."""
        self._has_body_in_slice = True
        self._note_continued()
        cycle: Any = self.cycle
        if not cycle.response_complete:
            cycle.held_bytes += len(body)
            self._request_bytes += len(body)
        super().on_body(body)

    def _note_continued(self) -> None:
        """Keep the connection of a client that expected to be told to continue, since its body comes."""
        if self._is_continue_awaited:
            self._is_continue_awaited = False
            self.cycle.keep_alive = not (self.sees_off or self.cycle.response_started)

    def on_message_complete(self) -> None:
        """Note that the parser is between requests."""
        if self._declined_offer:
            return
        self._unfinished_bytes = self._header_bytes = 0
        self._note_continued()
        self._is_between_requests = True
        super().on_message_complete()
        if self._is_its_turn() and not self._is_ending:
            self._await_next_request()

    # What is refused

    def _refusal(self) -> Unavailable | None:
        """Why no request to the model is let in now; None if one is."""
        return (self.door.refusal() if self.door is not None else None) or self.budget.refusal()

    def _give_up(self, error: RequestError) -> None:
        """Read no more; say why if that is the next answer, else end behind those that are due."""
        if self._ignores_input:
            return
        is_in_body = self._is_in_body()
        running: Any = self._running
        if self._is_its_turn():
            if not is_in_body:
                path = self.url.partition(b"?")[0].decode("latin-1")
                self._write_refusal(self.parser.get_method().decode(), path, error, keep_alive=False)
            self._end()
        elif is_in_body and running is self.cycle and not running.response_started:
            answer, _ = _answer(error, False)
            self.transport.write(_to_method(running.scope["method"], answer))
            self.failure = error  # It will be counted by whoever reads the body.
            self._disconnect_running()
            self._request_bytes -= self._running.held_bytes
            self._running = None
            self.cycle = _Refused()  # type: ignore[assignment]
            self._end()
        else:
            self._end_behind_due_answers()

    def _end_behind_due_answers(self) -> None:
        """Read no more, and answer no other requests than those that came whole."""
        if self._is_in_body() and self._running is not self.cycle:
            unfinished: Any = self.pipeline.popleft()[0]
            self._request_bytes -= unfinished.held_bytes
        self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        self.cycle.keep_alive = False
        self._ignore_input()

    def _is_in_body(self) -> bool:
        """Whether the parser is in a request whose headers came."""
        return not (self._is_in_head or self._is_between_requests)

    def _is_its_turn(self) -> bool:
        """Whether no answer to an earlier request is due."""
        return self.cycle is None or self.cycle.response_complete

    def _is_answering(self) -> bool:
        """Whether a request came whole whose answer is due: what comes behind it can wait."""
        return not (self._is_its_turn() or self.cycle.more_body)

    def _refuse(self, path: str, error: Unavailable, keep_alive: bool) -> None:
        if self._write_refusal("POST", path, error, keep_alive and not self.sees_off):
            self._end()
            return
        self._refused_at = self.loop.time()
        self._await_next_request()
        if self.flow.write_paused:
            self.flow.pause_reading()

    def _write_refusal(self, method: str, path: str, error: RequestError, keep_alive: bool) -> bool:
        """Answer with an error, and count that; returns whether the connection ends with it."""
        answer, ends = _answer(error, keep_alive)
        self.transport.write(_to_method(method, answer))
        requests.observe(path, error.status, 0.0)
        if self.logs_refusals:
            log_request(method, path, error.status, 0.0)
        return ends

    def _await_next_request(self) -> None:
        """For as long as an answered connection is kept, unless that has begun already."""
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._is_last_look = False
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    # What is held

    def _settle(self) -> None:
        """Bring the budget up to date with what this connection holds."""
        if self.is_lost:
            return
        awaits_rest = not (self._is_between_requests or self._ignores_input)
        held = self._request_bytes + len(self._unparsed)
        if awaits_rest and self._is_in_head:
            held += self._header_bytes + self._unfinished_bytes
        if self.flow.write_paused:
            held += self.transport.get_write_buffer_size()
        self.budget.held += held - self._held
        self._held = held
        if self.pipeline or self._unparsed or (awaits_rest and held):
            self.budget.await_rest(self)
        else:
            self.budget.stop_awaiting(self)

    def pause_writing(self) -> None:
        """Count the answer that is not read."""
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        """Read on as well, where that waited for refusals to be taken."""
        super().resume_writing()
        self._settle()
        if self._is_its_turn():
            self.flow.resume_reading()


class _Refused:
    """What uvicorn asks of a request that is answered; the rest of its body will be skipped."""

    response_complete = True
    message_event = asyncio.Event()


def _head_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(f"the headers have more than {MAX_HEAD_BYTES} bytes")


def _to_method(method: str, answer: bytes) -> bytes:
    """An answer as a request of this method gets it: HEAD gets no body."""
    return answer[: answer.index(b"\r\n\r\n") + 4] if method == "HEAD" else answer


def _answer(error: RequestError, keep_alive: bool) -> tuple[bytes, bool]:
    """The bytes of an answer, and whether the connection ends with it."""
    retry_after = (error.retry_after,) if isinstance(error, Unavailable) else ()
    return _cached_answer(type(error), keep_alive, str(error), *retry_after)  # type: ignore[arg-type]


@functools.lru_cache(256)
def _cached_answer(
    kind: Callable[..., RequestError], keep_alive: bool, *why: str | int
) -> tuple[bytes, bool]:
    response = problem_response(kind(*why))
    ends = not keep_alive or response.headers.get("connection") == "close"
    if ends:
        response.headers["connection"] = "close"
    lines = [b"%s: %s\r\n" % header for header in [*response.raw_headers, NOSNIFF]]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)]), ends
