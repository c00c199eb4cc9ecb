"""uvicorn's HTTP protocol with bounds.

uvicorn does not bound the number of connections, the size of heads, the bytes that clients make the service
hold, or the time for which a client may leave a request unfinished or an answer unread. This protocol does.

No two parsers may disagree about where a request ends. So an ambiguous request is refused, and the offer of
an upgrade is never taken: the request is read as if it made no offer.
"""

import asyncio
import math
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from classifier.errors import Draining, QueueFull, Refusal
from serving.errors import MalformedRequest, as_http, refusal_of
from serving.request.head import MAX_HEAD_BYTES, Head, head_too_large
from serving.request.stall import StallTimer
from serving.request.written_answer import written_answer
from serving.running import CONNECTIONS, ConnectionContext
from serving.telemetry.exchange import EXCHANGE, Exchange

REQUEST_BYTES = 4096
"""Bytes that each unanswered request adds to the budget besides those of its head and body."""

SLICE_BYTES = 4096
"""Most bytes that are parsed at once. If they complete a request, the bytes after them wait unparsed."""

UNREAD_ANSWER_BYTES = 16_384
"""Bytes of an answer that a client may leave unread before they count in the budget."""

REFUSED_CONNECTIONS = 256
"""Most connections beyond the limit that may stay open until they have received their refusal."""

REFUSED_SECONDS = 1.0
"""Seconds within which a client must read the refusal of its connection, or the last answer before a stop."""

PROBE_SECONDS = 0.1
"""Seconds after which an interim answer tests whether a client that sends no more still reads."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Flow(FlowControl):
    """Flow control that does not resume reading while bytes wait to be parsed."""

    has_unparsed = False

    def resume_reading(self) -> None:
        if not self.has_unparsed:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. It is a `serving.request.budget.Holder`.

    The parser moves through three places of the stream::

        between requests ──> in the head ──> in the body ──> between requests

    Requests are answered in order: `_running` is being answered, uvicorn's `pipeline` holds those behind it,
    and `cycle` is the last one. While a complete request is being answered, the bytes behind it wait in
    `_unparsed`. The connection ends in one of three ways:

    - `_end`: the last answer is written; input is dropped until the client closes.
    - `_end_after_due_answers`: input is dropped, and the connection ends with the last answer that is due.
    - `_abort`: the connection is reset at once.
    """

    flow: _Flow

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the bounds of the connection, or refuse it if there are too many."""
        self.connections.add(self)
        self.shared: ConnectionContext = self.app_state[CONNECTIONS]
        self.transport = transport
        transport.set_write_buffer_limits(UNREAD_ANSWER_BYTES)
        self.flow = _Flow(transport)
        self.server, self.client = get_local_addr(transport), get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        self.timeout_keep_alive = self.shared.keep_alive_seconds
        self.is_lost = False
        self.shared.recorder.metrics.connections += 1
        self.failure: Exception | None = None
        self._running: Any = None
        """The request being answered; uvicorn's `cycle` is the last one whose headers are complete."""
        self._is_ending = False  # The last answer is written, and the client should close.
        self._ignores_input = False  # Bytes that arrive are dropped.
        self._is_half_closed = False  # The client sends no more, but may still read.
        self._has_idle_time_passed = False  # The keep-alive timer has run out once; see its handler.
        self._is_in_head = False
        self._is_between_requests = True
        self._has_body_in_slice = self._has_target_in_slice = False
        self._head = Head([])
        self._head_without_offer = b""  # The head without its upgrade, which is parsed again.
        self._is_continue_awaited = False
        self._unfinished_bytes = 0  # Of a line or head that is not complete.
        self._unparsed = bytearray()
        self._request_bytes = 0  # Of the requests that are not answered yet.
        self._held = 0  # What the budget counts for this connection.
        self._refused_at = -math.inf
        self._requests_left = self.shared.draw_connection_requests()
        self._stall = StallTimer(self.loop, self.shared.request_seconds, self._progress, self._abort)
        if len(self.connections) > self.shared.max_connections:
            self._refuse_connection()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the running request, and drop all references that form a cycle with the connection."""
        self._stall.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._disconnect_running()
        self.is_lost = True
        self.shared.recorder.metrics.connections -= 1
        self.cycle = self.scope = self._running = self._stall = None  # type: ignore[assignment]
        self.pipeline.clear()
        self.shared.budget.remove_unfinished(self)
        self.shared.budget.held -= self._held
        self._held = 0

    def _refuse_connection(self) -> None:
        most = self.shared.max_connections
        if len(self.connections) > most + REFUSED_CONNECTIONS:
            self.shared.recorder.refusal(Refusal.CONNECTIONS)
            self._abort()
            return
        error = QueueFull(f"{most} connections are open, and no more are allowed", Refusal.CONNECTIONS)
        self._write_refusal(self.shared.recorder.begin("-", "", {}), error, keep_alive=False)
        self._end()
        self._stall.abort_after(REFUSED_SECONDS)

    def _progress(self) -> object:
        """A value that changes with each request; None if it is not the client's turn to send or to read."""
        # Between requests uvicorn's own keep-alive timer runs.
        must_send = self._is_ending or (self._is_clients_turn() and self.timeout_keep_alive_task is None)
        if not must_send and not self.transport.get_write_buffer_size():
            return None
        return self.cycle, self._refused_at

    # The end of the connection

    def _end(self) -> None:
        """Stop sending, and close when the client does.

        If we closed with bytes unread, the kernel would reset the connection and our answer might be lost.
        """
        self._is_ending = True
        self._ignore_input()
        if self.transport.can_write_eof() and not self._is_half_closed:
            self.transport.write_eof()
        else:
            self.transport.close()

    def _ignore_input(self) -> None:
        """Drop everything that arrives from now on, and what was kept of an unfinished request."""
        self._ignores_input = True
        self._forget_unparsed()
        # The requests that are still answered have their own references to their heads.
        self.url, self.headers = b"", []
        self.scope = None  # type: ignore[assignment]
        self._head = Head([])
        self.parser = self._new_parser()
        self.flow.resume_reading()

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn does.
        return parser

    def _abort(self) -> None:
        """End the connection at once: `close` would wait until everything that is written has been read."""
        self._disconnect_running()  # The loop reports the lost connection only in its next turn.
        self.transport.abort()

    def _disconnect_running(self) -> None:
        """Notify the running request that nobody reads its answer; uvicorn notifies only the last request."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, unless a refusal was sent meanwhile or a request can be read."""
        left = self._refused_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._has_idle_time_passed = False
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        elif not self._has_idle_time_passed:
            # The loop runs timers before it reads sockets, so a request may have arrived already.
            self._has_idle_time_passed = True
            self.timeout_keep_alive_task = self.loop.call_later(0.001, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the complete requests: a client may end its side of the connection and still read."""
        if self._is_clients_turn() or self._is_ending:
            return False
        self._is_half_closed = True
        if self._ignores_input:
            return True
        self.loop.call_later(PROBE_SECONDS, self._probe_client, 2)
        return self._keep_for_due_answers()

    def _keep_for_due_answers(self) -> bool:
        """Drop the unfinished request of a client that sends no more; returns whether answers are due."""
        if self._unparsed or self._is_between_requests or self._ignores_input:
            return True
        if self._is_in_body() and self._running is self.cycle:
            return False
        self._end_after_due_answers()
        return True

    def _probe_client(self, times: int) -> None:
        """Find out whether a client that sends no more has disconnected.

        If it has, its kernel answers the first interim answer with a reset, and writing the second one fails.
        """
        request = self._running
        if request is None or request.response_complete or request.scope["http_version"] == "1.0":
            return
        if not request.response_started and not self.is_closing():
            self.transport.write(CONTINUE)
            if times > 1:
                self.loop.call_later(PROBE_SECONDS, self._probe_client, times - 1)

    def shutdown(self) -> None:
        """End the connection with its last answer; an unfinished request is refused."""
        if self._is_between_requests or self._ignores_input:
            super().shutdown()
            return
        self._give_up(Draining("the service stopped before the request was complete"))
        self._update_budget()
        if self._is_ending:
            self._stall.abort_after(REFUSED_SECONDS)

    # The transport of the running request

    def write(self, data: bytes) -> None:
        """Write a part of the answer."""
        self.transport.write(data)

    def is_closing(self) -> bool:
        """Whether the last answer is written, so that nothing can follow it."""
        return self._is_ending or self.transport.is_closing()

    def close(self) -> None:
        """Close after the last answer."""
        if self._is_between_requests:
            self.transport.close()
        else:
            self._end()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on to the next request, unless this was the last answer."""
        if self._running is not None:
            self._request_bytes -= self._running.held_bytes
        if self._is_ending:
            self.pipeline.clear()
            self.flow.resume_reading()
        else:
            super().on_response_complete()
            if self._unparsed and not self.is_closing():
                self._parse_unparsed()
                if self._is_clients_turn():
                    self.flow.resume_reading()  # What was parsed does not complete a request.
            if self._is_half_closed and (self._is_clients_turn() or not self._keep_for_due_answers()):
                self.transport.close()
        self._update_budget()

    # Input

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, and count what is held of it."""
        if self._ignores_input:
            return
        self._unset_keepalive_if_required()
        if self._unparsed or self._is_answering() or len(data) > SLICE_BYTES:
            self._unparsed += data
            self._parse_unparsed()
        else:
            self._parse(data)
        self._update_budget()
        if self.shared.budget.is_overspent:
            self.shared.budget.make_room()

    def _parse_unparsed(self) -> None:
        """Parse the waiting bytes until they complete a request, which is then answered first."""
        while self._unparsed and not self._is_answering() and not self._ignores_input:
            part = bytes(self._unparsed[:SLICE_BYTES])
            del self._unparsed[:SLICE_BYTES]
            self._unset_keepalive_if_required()
            self._parse(part)
        self._set_has_unparsed(bool(self._unparsed))

    def _forget_unparsed(self) -> None:
        self._unparsed.clear()
        self._set_has_unparsed(False)

    def _set_has_unparsed(self, has_unparsed: bool) -> None:
        if has_unparsed:
            self.flow.pause_reading()
        self.flow.has_unparsed = has_unparsed

    def _parse(self, data: bytes) -> None:
        """Parse the next bytes, and count those of an unfinished line or head."""
        self._has_body_in_slice = self._has_target_in_slice = False
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            is_for_client = isinstance(cause, Exception) and as_http(cause) is not None
            self._give_up(cause if is_for_client else MalformedRequest("the request is not HTTP"))  # type: ignore[arg-type]
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
        if self._head.bytes + self._unfinished_bytes > MAX_HEAD_BYTES and not self._ignores_input:
            self._give_up(head_too_large())

    def _feed(self, data: bytes) -> None:
        """Give bytes to the parser; a request that offers an upgrade is parsed again without the offer."""
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            head, self._head_without_offer = self._head_without_offer, b""
            self.parser = self._new_parser()
            self.parser.feed_data(head)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._is_between_requests = self._has_idle_time_passed = False
        self._is_in_head = True
        self._unfinished_bytes = 0
        super().on_message_begin()
        self._head = Head(self.headers)

    def on_url(self, url: bytes) -> None:
        """Keep a part of the target, within the bounds of a head."""
        self._has_target_in_slice = True
        self._head.count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header within the bounds of a head; trailers are counted and dropped."""
        if self._is_in_head:
            self._head.add_header(name, value)
        else:
            self._head.add_trailer(name, value)

    def on_headers_complete(self) -> None:
        """Start answering the request, unless it is refused."""
        if self.parser.should_upgrade():
            self._head_without_offer = self._head.without_upgrade(
                self.parser.get_method(), self.url, self.parser.get_http_version()
            )
            return
        if self._is_ending:
            return
        version = self.parser.get_http_version()
        self._head.check_framing(version, self.url)
        budget = self.shared.budget
        budget.remove_unfinished(self)  # This request must not be refused to make room for itself.
        if self._is_refused(version):
            self.cycle = _Answered()  # type: ignore[assignment]
            self._is_in_head = False
            return
        if not self._is_clients_turn() and budget.is_overspent:
            raise budget.full()
        # A client of HTTP/1.0 does not know interim answers.
        self.expect_100_continue = self._head.expects_continue and version != "1.0"
        super().on_headers_complete()  # It fails if the target cannot be parsed.
        self._is_in_head = False
        cycle: Any = self.cycle
        cycle.transport = self
        # A client that gets an answer instead of "continue" may send its body or leave it out.
        self._is_continue_awaited = cycle.keep_alive and self.expect_100_continue
        self._requests_left -= 1
        cycle.keep_alive = cycle.keep_alive and not self._ends_with_answer() and not self.expect_100_continue
        cycle.held_bytes = REQUEST_BYTES + self._head.bytes
        self._request_bytes += cycle.held_bytes

    def _is_refused(self, version: str) -> bool:  # noqa: ARG002
        """Refuse the request whose headers are complete if it is not admitted; returns whether it was."""
        return False

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
        """Keep the connection of a client that waited for "continue", since its body arrives."""
        if self._is_continue_awaited:
            self._is_continue_awaited = False
            self.cycle.keep_alive = not (self._ends_with_answer() or self.cycle.response_started)

    def on_message_complete(self) -> None:
        """End a request."""
        if self._head_without_offer:
            return
        self._unfinished_bytes = self._head.bytes = 0
        self._note_continued()
        self._is_between_requests = True
        super().on_message_complete()
        if self._is_clients_turn() and not self._is_ending:
            self._await_next_request()

    def _await_next_request(self) -> None:
        """Start uvicorn's keep-alive timer, unless it runs already."""
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._has_idle_time_passed = False
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    # State

    def _is_in_body(self) -> bool:
        """Whether the headers of a request are parsed, and its end is not."""
        return not (self._is_in_head or self._is_between_requests)

    def _is_clients_turn(self) -> bool:
        """Whether it is the client's turn: no answer to an earlier request is due."""
        return self.cycle is None or self.cycle.response_complete

    def _ends_with_answer(self) -> bool:
        """Whether an answer is the last one because the service is leaving or all requests are used up."""
        return self.shared.admission.ends_connections or self._requests_left <= 0

    def _is_answering(self) -> bool:
        """Whether a complete request is being answered, so that everything after it can wait."""
        return not (self._is_clients_turn() or self.cycle.more_body)

    # Refusals

    def _give_up(self, error: Exception) -> None:
        """Stop reading, and end the connection with this error, or with the earlier answers that are due."""
        if self._ignores_input:
            return
        is_in_body = self._is_in_body()
        running: Any = self._running
        if self._is_clients_turn():
            if not is_in_body:
                path = self.url.partition(b"?")[0].decode("latin-1")
                method = self.parser.get_method().decode()
                exchange = self.shared.recorder.begin(method, path, dict(self.headers))
                self._write_refusal(exchange, error, keep_alive=False)
            self._end()
        elif is_in_body and running is self.cycle and not running.response_started:
            scope: Any = running.scope
            if EXCHANGE not in scope:  # The task of the request has not begun yet, and will find this one.
                begun = self.shared.recorder.begin(scope["method"], scope["path"], dict(scope["headers"]))
                scope[EXCHANGE] = begun
            self.transport.write(written_answer(error, False).to(scope[EXCHANGE]))
            self.failure = error  # The code that reads the body raises it, so the edge counts it.
            self._disconnect_running()
            self._request_bytes -= self._running.held_bytes
            self._running = None
            self.cycle = _Answered()  # type: ignore[assignment]
            self._end()
        else:
            self._end_after_due_answers()

    def _end_after_due_answers(self) -> None:
        """Stop reading, and answer only the requests that are complete."""
        if self._is_in_body() and self._running is not self.cycle:
            unfinished: Any = self.pipeline.popleft()[0]
            self._request_bytes -= unfinished.held_bytes
        self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        self.cycle.keep_alive = False
        self._ignore_input()

    def _write_refusal(self, exchange: Exchange, error: Exception, keep_alive: bool) -> bool:
        """Answer with an error and record it; returns whether the connection ends with it."""
        answer = written_answer(error, keep_alive)
        self.transport.write(answer.to(exchange))
        exchange.refusal = refusal_of(error)
        self.shared.recorder.end(exchange, answer.status)
        return answer.ends_connection

    # Held bytes

    def free_bytes(self) -> None:
        """Refuse the unfinished request because too much is held, or drop the requests that wait.

        The dropped requests were sent while an earlier one was being answered. The connection ends with that
        answer, so the client has to send them again.
        """
        waiting: Any = [cycle for cycle, _ in self.pipeline]
        if waiting:
            self._request_bytes -= sum(cycle.held_bytes for cycle in waiting)
            self.pipeline.clear()
            self.cycle = self._running
            self.cycle.keep_alive = False
            self._ignore_input()
        else:
            self._give_up(self.shared.budget.full())
        self._update_budget()

    def _update_budget(self) -> None:
        """Update the budget with what this connection holds."""
        if self.is_lost:
            return
        is_unfinished = not (self._is_between_requests or self._ignores_input)
        held = self._request_bytes + len(self._unparsed)
        if is_unfinished and self._is_in_head:
            held += self._head.bytes + self._unfinished_bytes
        if self.flow.write_paused:
            held += self.transport.get_write_buffer_size()
        budget = self.shared.budget
        budget.held += held - self._held
        self._held = held
        if self.pipeline or self._unparsed or (is_unfinished and held):
            budget.add_unfinished(self)
        else:
            budget.remove_unfinished(self)

    def pause_writing(self) -> None:
        """Count the answer that the client does not read."""
        super().pause_writing()
        self._update_budget()

    def resume_writing(self) -> None:
        """Resume reading as well, if it was paused until the client had read its refusals."""
        super().resume_writing()
        self._update_budget()
        if self._is_clients_turn():
            self.flow.resume_reading()


class _Answered:
    """A request that is answered already, with the fields that uvicorn reads."""

    response_complete = True
    message_event = asyncio.Event()
