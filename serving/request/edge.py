"""The edge handles every request first: it counts it, checks who sends it, and passes it to its endpoint."""

import asyncio
from collections.abc import Mapping, Sequence

import bentoml
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifier.errors import Refusal
from serving.errors import RequestTooSlow, ServiceUnavailable, as_http
from serving.request.access import Access
from serving.request.body import check_headers
from serving.request.endpoint import Endpoint
from serving.request.hangup import take_failure
from serving.request.problems import (
    NOSNIFF,
    PROBLEM_JSON,
    no_such_route,
    problem_of_status,
    problem_response,
)
from serving.routes import HEALTH, JSON, ROUTES
from serving.running import RunningService, running_service
from serving.telemetry import request_id, server_timing
from serving.telemetry.exchange import EXCHANGE, Exchange

_WITH_BODY = frozenset((route.method, route.path) for route in ROUTES if route.request is not None)
_FOR_MODEL = frozenset((route.method, route.path) for route in ROUTES if route.is_for_model)


class Edge:
    """ASGI middleware in front of BentoML's app.

    A request for one of the endpoints goes straight to it, because the path through BentoML's app takes
    longer than a light model. All other requests go to BentoML's app, whose errors become problem documents.
    """

    def __init__(self, app: ASGIApp, endpoints: Sequence[Endpoint], access: Access) -> None:
        self._app = app
        self._endpoints: Mapping[tuple[str, str], Endpoint] = {
            (endpoint.route.method, endpoint.route.path): endpoint for endpoint in endpoints
        }
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it with its outcome."""
        if scope["type"] == "http":
            await self._handle(scope, receive, send)
        elif scope["type"] == "lifespan":
            bypass_bentoml_middlewares(scope, self)
            await self._app(scope, receive, _with_state(scope, send))
        else:
            await self._app(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            service = running_service(scope)
        except ServiceUnavailable as error:
            await problem_response(error)(scope, receive, send)
            return
        recorder = service.connections.recorder
        exchange: Exchange = scope.get(EXCHANGE) or recorder.begin(
            scope["method"], scope["path"], dict(scope["headers"])
        )
        scope[EXCHANGE] = exchange
        max_seconds = service.settings.api.request_seconds
        limit = asyncio.timeout(max_seconds)
        has_timing = service.settings.api.server_timing
        response = _Response(scope, receive, send, limit, has_timing)
        target = exchange.method, exchange.path
        is_for_model = target in _FOR_MODEL
        recorder.metrics.in_progress += is_for_model
        try:
            async with limit:
                try:
                    await self._answer(service, target, exchange, scope, receive, response)
                except Exception as error:
                    if response.status:
                        raise
                    exchange.refuse(error, service.settings.batching.deadline_seconds)
                    await response.send(problem_response(error, exchange.request_id))
        except TimeoutError:
            if response.status:
                raise
            exchange.refusal = Refusal.SLOW_CLIENT
            too_slow = RequestTooSlow(f"the request took more than {max_seconds:g} s")
            await response.send(problem_response(too_slow))
        finally:
            recorder.metrics.in_progress -= is_for_model
            recorder.end(exchange, _status_of_connection(scope) or response.status)
            del scope[EXCHANGE]  # BentoML's app leaves the scope in a cycle until garbage is collected.

    async def _answer(
        self,
        service: RunningService,
        target: tuple[str, str],
        exchange: Exchange,
        scope: Scope,
        receive: Receive,
        response: "_Response",
    ) -> None:
        if not self._access.is_unrestricted:
            refusal = self._access.refusal(exchange.path, scope["headers"])
            if refusal is not None:
                raise refusal
        if target in _WITH_BODY:
            check_headers(exchange.headers, service.settings.api.max_body_bytes)
            if target in _FOR_MODEL:
                service.admission.check()
        endpoint = self._endpoints.get(target)
        if endpoint is not None:
            await response.send(await endpoint(Request(scope, receive), exchange))
        else:
            await self._app(scope, receive, response.relay)


def _status_of_connection(scope: Scope) -> int | None:
    """The status that the connection answered itself while the request was running; None if it did not."""
    failure = take_failure(scope)
    error = None if failure is None else as_http(failure)
    return None if error is None else error.status


def bypass_bentoml_middlewares(lifespan: Scope, edge: Edge) -> None:
    """Make the edge the only middleware of BentoML's app.

    BentoML puts its middlewares for spans and for its own timeout in front, and they take 10 % of the
    throughput. The app is in the scope of the lifespan, which starts before any request.
    """
    lifespan["app"].middleware_stack = edge


def _with_state(lifespan: Scope, send: Send) -> Send:
    """Share the running service with connections and requests as soon as the start-up is complete."""

    async def send_with_state(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            service: RunningService = bentoml.get_current_service().running
            lifespan["state"].update(service.state())
        await send(message)

    return send_with_state


class _Response:
    """A request's response, either sent as it is or relayed from BentoML; `status` is 0 until it begins.

    The time limit of the request ends when the response begins. From then on the connection decides how long
    the client may take to read.
    """

    __slots__ = (
        "_has_timing",
        "_is_replaced",
        "_limit",
        "_receive",
        "_scope",
        "_send",
        "status",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limit: asyncio.Timeout,
        has_timing: bool,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._limit = limit
        self._has_timing = has_timing
        self._is_replaced = False
        self.status = 0

    async def send(self, response: Response) -> None:
        self._begin(response.status_code)
        response.raw_headers += self._headers()
        await response(self._scope, self._receive, self._send)

    async def relay(self, message: Message) -> None:
        """Pass on BentoML's response, but replace an error that is not a problem yet."""
        if message["type"] == "http.response.start":
            self._begin(message["status"])
            if self.status >= 400 and not _is_described(message, self._scope["path"]):
                self._is_replaced = True
                if self.status == 503:
                    self._scope[EXCHANGE].refusal = Refusal.BENTOML_QUEUE
                await self.send(_problem(self.status, self._scope))
            else:
                message["headers"] = [*message["headers"], *self._headers()]
        if not self._is_replaced:
            await self._send(message)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of every response."""
        exchange: Exchange = self._scope[EXCHANGE]
        headers = [NOSNIFF, (request_id.HEADER, exchange.request_id)]
        if self._has_timing:
            headers.append((server_timing.HEADER, server_timing.server_timing(exchange)))
        return headers

    def _begin(self, status: int) -> None:
        self.status = status
        if not self._limit.expired():
            self._limit.reschedule(None)


def _problem(status: int, scope: Scope) -> Response:
    if status in {404, 405}:
        return problem_response(no_such_route(scope["method"], scope["path"]))
    return problem_of_status(status)


def _is_described(start: Message, path: str) -> bool:
    """Whether an error response already has our format, so that it is not replaced."""
    media_type = Headers(raw=start["headers"]).get("content-type", "")
    return media_type.startswith(PROBLEM_JSON) or (path == HEALTH.path and media_type.startswith(JSON))
