"""A connection to the service's protocol without a network: bytes in, bytes out, and logged faults."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from serving.request.protocol import ServiceProtocol
from serving.running import CONNECTIONS, ConnectionContext

TURNS = 3000
"""Turns of the event loop within which every request must be answered."""


class Transport(asyncio.Transport):
    """A transport whose other end reads everything that is written."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        super().__init__()
        self.loop, self.protocol = loop, protocol
        self.written = bytearray()
        self.is_eof = self.is_closed = self.is_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        assert not self.is_eof, f"{bytes(data)!r} is written after the end"
        if not self.is_closed:
            self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_eof = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def identity(method: str, target: str, body: bytes) -> bytes:
    """The app's answer to a request; it identifies the request."""
    return f"{method} {target.removesuffix('?')} {len(body)} {hashlib.sha256(body).hexdigest()[:8]}".encode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the request's identity. /slow… takes a few turns, and /unread… does not read the body."""
    body, is_whole = b"", scope["path"].startswith("/unread")
    for _ in range(7 if scope["path"].startswith("/slow") else 0):
        await asyncio.sleep(0)
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        is_whole = not message.get("more_body", False)
    target = b"?".join(filter(None, [scope["raw_path"], scope["query_string"]])).decode()
    answer = identity(scope["method"], target, body)
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@dataclass
class Outcome:
    """What the client received, and the faults that the service logged."""

    written: bytes = b""
    is_ended: bool = False
    """Whether the service ended the connection before the client did."""
    faults: list[str] = field(default_factory=list)


class _Faults(logging.Handler):
    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self.faults.append(self.format(record))


CONFIG = uvicorn.Config(app, lifespan="off", log_config=None)
CONFIG.load()


def converse(
    loop: asyncio.AbstractEventLoop, shared: ConnectionContext, segments: Sequence[bytes], ends_its_side: bool
) -> Outcome:
    """Send the segments, maybe end the sending side, wait for the answers that are due, and disconnect."""
    outcome = Outcome()
    handler = _Faults(outcome.faults)
    loop.set_exception_handler(lambda _, context: outcome.faults.append(repr(context)))
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addHandler(handler)
    try:
        loop.run_until_complete(_converse(loop, shared, segments, ends_its_side, outcome))
    finally:
        for name in ("uvicorn.error", "asyncio"):
            logging.getLogger(name).removeHandler(handler)
    return outcome


async def _converse(
    loop: asyncio.AbstractEventLoop,
    shared: ConnectionContext,
    segments: Sequence[bytes],
    ends_its_side: bool,
    outcome: Outcome,
) -> None:
    state = ServerState()
    protocol = ServiceProtocol(CONFIG, state, {CONNECTIONS: shared}, loop)
    transport = Transport(loop, protocol)
    protocol.connection_made(transport)
    for segment in segments:
        await _until(lambda: not transport.is_paused or transport.is_closed, "the service reads again")
        if transport.is_closed:
            break
        protocol.data_received(segment)
    if ends_its_side and not transport.is_closed:
        await _until(lambda: not transport.is_paused or transport.is_closed, "the service reads again")
        if not transport.is_closed and not protocol.eof_received():
            transport.close()
    for _ in range(20):
        await asyncio.sleep(0)  # an answer may come before the rest of its request
    await _until(lambda: transport.is_closed or _is_quiet(protocol), "all requests are answered")
    outcome.is_ended = transport.is_eof or transport.is_closed
    transport.close()
    await _until(lambda: not state.connections and not state.tasks, "the connection is closed")
    outcome.written = bytes(transport.written)
    if shared.budget.held or shared.budget.has_unfinished:
        outcome.faults.append(f"{shared.budget.held} bytes are still held by a closed connection")


def _is_quiet(protocol: Any) -> bool:
    """Whether the service owes no answer to what the client has sent so far."""
    if protocol._is_ending:
        return True
    if protocol._unparsed:
        return False
    waits_for_body = protocol._running is protocol.cycle and not protocol._is_between_requests
    return protocol._is_clients_turn() or (waits_for_body and not protocol._ignores_input)


async def _until(condition: Any, what: str) -> None:
    for _ in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"it did not happen within {TURNS} turns that {what}")
