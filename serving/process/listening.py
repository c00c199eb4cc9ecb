"""The listening socket: each turn of the event loop accepts every connection that waits.

uvloop accepts one connection in each turn. Under load a turn takes milliseconds, so new clients would wait
for seconds in the kernel's accept queue, or overflow it, while connected clients are served.
"""

import asyncio
import errno
import resource
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any

import structlog
import uvicorn.config
import uvloop

MAX_ACCEPTED_PER_TURN = 512
"""Most connections that are accepted before the event loop turns to its other work."""

PAUSE_SECONDS = 0.1
"""Seconds for which accepting pauses when the process or the machine can open no more files."""

OTHER_FILES = 512
"""Open files besides the connections: the model, the log, and connections that are being refused."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = structlog.get_logger("classifier.listening")

ProtocolFactory = Callable[[], asyncio.Protocol]


def install() -> None:
    """Make `Loop` the event loop of the server that this process is going to run.

    BentoML leaves the choice to uvicorn, which looks up `auto` in this table.
    """
    uvicorn.config.LOOP_FACTORIES["auto"] = f"{__name__}:{_loop_factory.__name__}"


def _loop_factory(**_: bool) -> type["Loop"]:
    return Loop


def room_for_connections(wanted: int) -> int:
    """Raise the limit of open files for `wanted` connections; returns how many connections are possible.

    Each connection is an open file. A warning is logged if the system allows fewer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            _log.warning("fewer_connections", wanted=wanted, room=soft - OTHER_FILES, open_files_allowed=soft)
            return max(1, soft - OTHER_FILES)
    return wanted


def stop_listening(listener: socket.socket) -> None:
    """Refuse connections until some process that holds the socket listens again.

    On Linux, shutting down a TCP socket stops the listening of every process that holds it, resets the
    connections that wait, and keeps the port. On other systems clients wait until a process listens again.
    """
    is_tcp = listener.family in {socket.AF_INET, socket.AF_INET6}
    # A socket that is shut down while it does not listen would later accept connections without any bytes.
    if sys.platform == "linux" and is_tcp and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.shutdown(socket.SHUT_RDWR)


class Loop(uvloop.Loop):
    """uvloop's event loop, with a server that accepts connections in bursts."""

    async def create_server(  # type: ignore[override]
        self, protocol_factory: ProtocolFactory, *arguments: Any, **options: Any
    ) -> Any:
        """Listen on the socket given as `sock`; without one, uvloop creates its own server."""
        listener = options.get("sock")
        if listener is None:
            return await super().create_server(protocol_factory, *arguments, **options)
        listener.setblocking(False)
        listener.listen(options.get("backlog", 100))
        return Server(self, listener, protocol_factory, options.get("ssl"))


class Server:
    """Accepts the connections of one listening socket, with the methods that uvicorn calls."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        protocol_factory: ProtocolFactory,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._protocol_factory = protocol_factory
        self._tls = tls
        self._opening: set[asyncio.Task[Any]] = set()
        self._is_listening = True
        loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Stop listening, so that new clients are refused instead of left waiting.

        The parent process holds the socket too, so closing it here would not be enough.
        """
        if self._is_listening:
            self._is_listening = False
            self._loop.remove_reader(self._listener)
            stop_listening(self._listener)

    async def wait_closed(self) -> None:
        """Wait until the last accepted connections are set up."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTED_PER_TURN):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.warning("cannot_accept", reason=error.strerror, pause_seconds=PAUSE_SECONDS)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(PAUSE_SECONDS, self._resume)
                return
            connection.setblocking(False)
            task = self._loop.create_task(
                self._loop.connect_accepted_socket(self._protocol_factory, connection, ssl=self._tls)
            )
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _resume(self) -> None:
        if self._is_listening:
            self._loop.add_reader(self._listener, self._accept)

    def _opened(self, task: "asyncio.Task[Any]") -> None:
        self._opening.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # The client went away, or its TLS handshake failed, before there was a connection.
            _log.debug("connection_not_set_up", reason=str(task.exception()))
