"""uvicorn's HTTP protocol with a door: while it is closed, a request is refused once its headers are there.

A refusal through ASGI costs a scope, a task and a response: half of what an answer of a light model costs.
Under twice the load that it can bear, a service would then be busy with nothing but refusing.
"""

import asyncio
import functools
from typing import Any, ClassVar

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from classifier.batching import Batcher
from classifier.errors import Unavailable
from serving.logs import log_request
from serving.metrics import requests
from serving.problems import problem_response
from serving.routes import ROUTES

_GUARDED = {route.path.encode(): route.path for route in ROUTES if route.request is not None}


def install(access_log: bool) -> None:
    """Make it the protocol of the server that this process is going to run.

    BentoML leaves the choice to uvicorn, which looks `auto` up in this table.
    """
    DoorProtocol.logs_refusals = access_log
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{DoorProtocol.__name__}"


class DoorProtocol(HttpToolsProtocol):
    """One connection."""

    door: ClassVar[Batcher[Any] | None] = None
    """Whose `check_open` raises Unavailable while no request is let in; the service puts its batcher here."""

    logs_refusals: ClassVar[bool] = False

    def on_headers_complete(self) -> None:
        """Refuse a request to the model while the door is closed; but never before an answer that is due."""
        is_its_turn = self.cycle is None or self.cycle.response_complete
        if self.door is not None and is_its_turn and self.parser.get_method() == b"POST":
            path = _GUARDED.get(self.url.partition(b"?")[0])
            if path is not None:
                try:
                    self.door.check_open()
                except Unavailable as error:
                    self._refuse(path, error)
                    return
        super().on_headers_complete()

    def _refuse(self, path: str, error: Unavailable) -> None:
        keep_alive = self.parser.should_keep_alive()
        answer, ends = _answer(type(error), str(error), error.retry_after, keep_alive)  # type: ignore[arg-type]
        self.transport.write(answer)
        requests.observe(path, error.status, 0.0)
        if self.logs_refusals:
            log_request("POST", path, error.status, 0.0)
        self.cycle = _Refused()  # type: ignore[assignment]
        if ends:
            self.transport.close()
        else:
            self.on_response_complete()


class _Refused:
    """What uvicorn asks of a request that is answered; the rest of its body will be skipped."""

    response_complete = True
    message_event = asyncio.Event()


@functools.lru_cache(256)
def _answer(kind: type[Unavailable], detail: str, retry_after: int, keep_alive: bool) -> tuple[bytes, bool]:
    """The bytes of an answer, and whether the connection ends with it."""
    response = problem_response(kind(detail, retry_after))
    ends = not keep_alive or response.headers.get("connection") == "close"
    if ends:
        response.headers["connection"] = "close"
    lines = [b"%s: %s\r\n" % header for header in response.raw_headers]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)]), ends
