"""The protocol of the service's connections: it refuses requests early and notices disconnected clients.

While requests are not admitted, each is refused as soon as its headers are complete. A refusal through ASGI
would need a scope, a task and a response, and would cost half as much as a prediction of a light model. At
twice its capacity the service would then spend all its time on refusals.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from classifier.errors import Unavailable
from serving.request.bounded import BoundedProtocol
from serving.request.hangup import CONNECTION
from serving.request.plain import PLAIN_REQUEST
from serving.routes import ROUTES
from serving.running import CONNECTIONS
from serving.telemetry.exchange import Exchange
from serving.telemetry.request_id import has_sent_id

_MODEL_PATHS = {route.path.encode(): route.path for route in ROUTES if route.is_for_model}
"""The paths of requests to the model, which need admission."""


def install() -> None:
    """Make the server that this process is going to run ask `make_protocol` for each connection.

    BentoML leaves the choice to uvicorn, which looks up `auto` in this table.
    """
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{make_protocol.__name__}"


def make_protocol(
    config: uvicorn.Config,
    server_state: ServerState,
    app_state: dict[str, Any],
    _loop: asyncio.AbstractEventLoop | None = None,
) -> HttpToolsProtocol:
    """The protocol of a new connection.

    It is uvicorn's own if the server runs another service, which imports this one as a dependency.
    """
    protocol = ServiceProtocol if CONNECTIONS in app_state else HttpToolsProtocol
    return protocol(config, server_state, app_state, _loop)


class ServiceProtocol(BoundedProtocol):
    """One connection of the service. It is a `serving.request.hangup.Connection`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch the connection."""
        self.when_lost: Callable[[], None] | None = None
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the running request."""
        super().connection_lost(exc)
        if self.when_lost is not None:
            self.when_lost()

    def data_received(self, data: bytes) -> None:
        """Refuse a plain request that arrives in one piece without parsing it; parse anything else."""
        if (
            self._is_between_requests
            and self._is_clients_turn()
            and not (self._unparsed or self._ignores_input)
        ):
            error = self._refusal()
            if error is not None:
                plain = PLAIN_REQUEST.match(data)
                is_whole = plain is not None and plain.end() + int(plain["length"]) == len(data)
                if plain is not None and is_whole and not has_sent_id(plain[0]):
                    exchange = self.shared.recorder.begin("POST", _MODEL_PATHS[plain["path"]], {})
                    self._refuse(exchange, error, keep_alive=True)
                    return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Give the request's scope its connection."""
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: self}  # type: ignore[dict-item]

    def _is_refused(self, version: str) -> bool:
        if not self._is_clients_turn() or self.parser.get_method() != b"POST":
            return False
        path = _MODEL_PATHS.get(self.url.partition(b"?")[0])
        if path is None:
            return False
        error = self._refusal()
        if error is None:
            self.shared.admission.admit()
            return False
        can_be_kept = version != "1.0" and self.parser.should_keep_alive()
        exchange = self.shared.recorder.begin("POST", path, dict(self.headers))
        self._refuse(exchange, error, can_be_kept and not self._head.expects_continue)
        return True

    def _refusal(self) -> Unavailable | None:
        """The error for which a request to the model is refused now; None if it is admitted."""
        return self.shared.admission.refusal() or self.shared.budget.refusal()

    def _refuse(self, exchange: Exchange, error: Unavailable, keep_alive: bool) -> None:
        self._requests_left -= 1
        is_kept = keep_alive and not self._ends_with_answer()
        if self._write_refusal(exchange, error, is_kept):
            self._end()
            return
        self._refused_at = self.loop.time()
        self._await_next_request()
        if self.flow.write_paused:
            self.flow.pause_reading()
