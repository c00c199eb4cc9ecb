"""Open-loop load: requests arrive at a fixed rate, whether or not earlier requests are answered.

We do not use `vegeta`, because it needs more time per request than a light model does, and opens a connection
whenever none is free. On two cores it measured its own queue and the kernel's instead of the server's.
"""

import asyncio
import gc
import resource
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError

TIMEOUT_SECONDS = 10.0
CONNECTIONS = 4000
OPENED_AT_ONCE = 100
TICK_SECONDS = 0.001
NO_ANSWER = 0


@dataclass(frozen=True)
class Attack:
    """The outcome of n requests, in the order in which they arrived."""

    start: NDArray[np.float64]
    """Planned times of arrival (n), in seconds since the first."""
    status: NDArray[np.int64]
    """HTTP status codes (n); 0 if there was no answer within 10 s of the last request."""
    latency: NDArray[np.float64]
    """Seconds (n) from the planned time of arrival to the end of the answer."""

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Marks (n) the requests that were answered with success."""
        return (self.status >= 200) & (self.status < 400)

    @property
    def refused(self) -> NDArray[np.bool_]:
        """Marks (n) the requests that were answered with an error."""
        return self.status >= 400


def allow_connections() -> None:
    """Raise the limit of open files, here and in servers started later. Raises BenchmarkError."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard_limit != resource.RLIM_INFINITY and hard_limit < 2 * CONNECTIONS:
        raise BenchmarkError(
            f"the limit of open files is {hard_limit}; the open loop needs {2 * CONNECTIONS} (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * CONNECTIONS, hard_limit))


def attack(
    url: str, bodies: Sequence[bytes], rate: float, seconds: float, keep_connections: bool = True
) -> Attack:
    """POST the JSON bodies in turn, `rate` per second. Raises BenchmarkError if nothing listens.

    With `keep_connections`, 4,000 connections are opened first and kept. Without it, each request opens its
    own connection, and at most 4,000 are open. If none is free, the request waits, and its latency includes
    this wait.
    """
    try:
        return uvloop.run(_Attacker(url, bodies, rate, seconds, keep_connections).run())
    except OSError as error:
        raise BenchmarkError(f"{url} does not accept {CONNECTIONS} connections: {error}") from error


class _Attacker:
    def __init__(
        self, url: str, bodies: Sequence[bytes], rate: float, seconds: float, keep_connections: bool
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        if not keep_connections:
            head += "Connection: close\r\n"
        self._keeps_connections = keep_connections
        self._open_now = 0
        self._requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        self._rate = rate
        count = round(rate * seconds)
        self._start = np.arange(count) / rate
        self._status = [NO_ANSWER] * count
        self._end = [float("nan")] * count
        self._left = count
        self._waiting: deque[int] = deque()
        self._free: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self) -> Attack:
        for _ in range(0, CONNECTIONS if self._keeps_connections else 0, OPENED_AT_ONCE):
            await asyncio.gather(*[self._open() for _ in range(OPENED_AT_ONCE)])
        gc.disable()
        try:
            self._begin = time.perf_counter()
            sent = 0
            while sent < len(self._start):
                due = min(int((time.perf_counter() - self._begin) * self._rate) + 1, len(self._start))
                self._waiting.extend(range(sent, due))
                sent = due
                self._send()
                await asyncio.sleep(TICK_SECONDS)
            deadline = time.perf_counter() + TIMEOUT_SECONDS
            while self._left and time.perf_counter() < deadline:
                await asyncio.sleep(TICK_SECONDS)
        finally:
            gc.enable()
        return Attack(self._start, np.array(self._status), np.array(self._end) - self._start)

    def _send(self) -> None:
        if not self._keeps_connections:
            for _ in range(min(len(self._waiting) - self._opening_now(), CONNECTIONS - self._open_now)):
                self._open_soon()
        while self._waiting and self._free:
            self._free.pop().ask(
                number := self._waiting.popleft(), self._requests[number % len(self._requests)]
            )

    def _opening_now(self) -> int:
        """The number of connections that are being opened, each for a request that waits."""
        return len(self._opening)

    def _open_soon(self) -> None:
        self._open_now += 1
        task = asyncio.create_task(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: "asyncio.Task[None]") -> None:
        self._opening.discard(task)
        if not task.cancelled() and task.exception() is not None:  # the request stays without an answer
            self._open_now -= 1
            if not self._keeps_connections and self._waiting:
                self._waiting.popleft()
                self._left -= 1

    async def _open(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: _Connection(self), self._host, self._port)

    def is_free(self, connection: "_Connection") -> None:
        self._free.append(connection)
        if self._waiting:
            self._send()

    def is_lost(self, connection: "_Connection", number: int | None) -> None:
        """Note that a connection closed. If connections are kept, open another one."""
        self._open_now -= 1
        if number is not None:
            self._left -= 1
        elif connection in self._free:
            self._free.remove(connection)
        if self._keeps_connections:
            self._open_soon()

    def is_answered(self, number: int, status: int) -> None:
        self._end[number] = time.perf_counter() - self._begin
        self._status[number] = status
        self._left -= 1


class _Connection(asyncio.Protocol):
    """Sends one request at a time. It reads only as much HTTP as this needs."""

    def __init__(self, attacker: _Attacker) -> None:
        self._attacker = attacker
        self._number: int | None = None
        self._answer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._attacker.is_free(self)

    def ask(self, number: int, request: bytes) -> None:
        self._number = number
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not separator or self._number is None:
            return
        lowered = head.lower()
        length = int(lowered.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        number, self._number, self._answer = self._number, None, b""
        self._attacker.is_answered(number, int(head[9:12]))
        if b"connection: close" in lowered:
            self._transport.close()
        else:
            self._attacker.is_free(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._attacker.is_lost(self, self._number)
