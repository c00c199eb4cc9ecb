"""The listening socket: every connection that waits is accepted in each turn of the event loop.

uvloop accepts one connection in each turn. Under load a turn takes milliseconds, so that new clients would
wait for seconds in the kernel's accept queue, or overflow it, while those that are connected are served.
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

ACCEPTED_PER_TURN = 512
"""Most connections that are accepted before the event loop goes on to its other work."""

PAUSE_SECONDS = 0.1
"""How long accepting pauses when the process or the machine can open no more files."""

OTHER_FILES = 512
"""Open files beside the connections: the model, the log, and clients that are told that there is no room."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = structlog.get_logger("classifier.listening")

ProtocolFactory = Callable[[], asyncio.Protocol]


def install() -> None:
    """Make `Loop` the event loop of the server that this process is going to run.

    BentoML leaves the choice to uvicorn, which looks `auto` up in this table.
    """
    uvicorn.config.LOOP_FACTORIES["auto"] = f"{__name__}:{_loop_factory.__name__}"


def _loop_factory(**_: bool) -> type["Loop"]:
    return Loop


def room_for_connections(wanted: int) -> int:
    """Let this process open as many files as so many connections need; returns how many it has room for.

    Each connection is an open file. Where the system allows fewer, that is logged.
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
    """Refuse connections from now on, whichever processes hold the socket, until one of them listens again.

    On Linux shutting a TCP socket down ends its listening for every process, resets the connections that
    wait, and keeps the port. Elsewhere clients wait for whoever listens next.
    """
    is_tcp = listener.family in {socket.AF_INET, socket.AF_INET6}
    # Shut down when it does not listen, it would listen again but give its connections no bytes.
    if sys.platform == "linux" and is_tcp and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.shutdown(socket.SHUT_RDWR)


class Loop(uvloop.Loop):
    """uvloop's event loop with a server that accepts in bursts."""

    async def create_server(  # type: ignore[override]
        self, protocol_factory: ProtocolFactory, *arguments: Any, **options: Any
    ) -> Any:
        """Listen on the socket that is given as `sock`; a call without one is uvloop's own."""
        listener = options.get("sock")
        if listener is None:
            return await super().create_server(protocol_factory, *arguments, **options)
        listener.setblocking(False)
        listener.listen(options.get("backlog", 100))
        return Server(self, listener, protocol_factory, options.get("ssl"))


class Server:
    """Accepts the connections of one listening socket until it is closed: what uvicorn asks of a server."""

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
        """Stop listening: clients that come from now on are refused instead of left waiting.

        The process that started this one holds the socket as well, so closing it here would not be enough.
        """
        if self._is_listening:
            self._is_listening = False
            self._loop.remove_reader(self._listener)
            stop_listening(self._listener)

    async def wait_closed(self) -> None:
        """Wait until the connections that were accepted last are set up."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_PER_TURN):
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
