"""An endpoint answers the requests of one route with a function of the contract's types."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serving.request.body import parse, read_json, request_timeout
from serving.request.hangup import CancelledByDisconnect
from serving.routes import JSON, Route
from serving.running import RunningService, running_service
from serving.telemetry.exchange import NO_HEADERS, Exchange

Answer = Callable[[RunningService, Any, Exchange], Awaitable[Any]]
"""`async def answer(service, request: <route.request>, exchange: Exchange) -> <route.answer>`."""


@dataclass(frozen=True)
class Endpoint:
    """A route with the function that answers its requests."""

    route: Route
    answer: Answer
    """Its name is the one by which BentoML's clients call the endpoint."""

    async def __call__(self, request: Request, exchange: Exchange) -> Response:
        """Read a request and answer it; raises the error of a request that gets no answer of its route."""
        service = running_service(request.scope)
        exchange.timeout = request_timeout(exchange.headers)
        exchange.headers = NO_HEADERS  # They need not be held for as long as the body takes.
        body = await read_json(request, service.settings.api.max_body_bytes)
        exchange.begin = time.perf_counter()  # A client that sends slowly does not make the service slow.
        query = request.query_params if request.scope["query_string"] else None
        parsed = parse(self.route.request_model, body, query, self.route.query)
        with CancelledByDisconnect(request):
            return json_response(await self.answer(service, parsed, exchange))


def json_response(answer: Any) -> Response:
    """An answer of the contract as JSON."""
    return Response(orjson.dumps(answer), media_type=JSON)
