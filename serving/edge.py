"""What every request meets first: metrics, the access log, bounds, and the way to its endpoint."""

import asyncio
import time
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifier.errors import RequestTooSlow
from classifier.settings import ApiSettings
from serving.access import Access
from serving.body import check_headers
from serving.endpoint import Endpoint
from serving.logs import log_request
from serving.metrics import requests
from serving.problems import NOSNIFF, PROBLEM_JSON, no_such_route, problem_of_status, problem_response
from serving.routes import HEALTH, JSON, ROUTES

_WITH_BODY = frozenset((route.method, route.path) for route in ROUTES if route.request is not None)


class Edge:
    """ASGI middleware in front of BentoML's app, its own middlewares included.

    A request to one of `endpoints`, by path, goes straight to it, since the way through BentoML's app takes
    longer than a light model. All others go that way, and an error that BentoML words becomes ours.
    """

    def __init__(
        self,
        app: ASGIApp,
        endpoints: Mapping[str, Endpoint],
        settings: ApiSettings,
        access: Access,
        access_log: bool,
    ) -> None:
        self._app = app
        self._endpoints = endpoints
        self._settings = settings
        self._access = access
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and note how that went."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                # BentoML's middlewares for spans and for its timeout would come first, and take 10 %.
                scope["app"].middleware_stack = self
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        limit = asyncio.timeout(self._settings.request_seconds)
        answered = _Answered(scope, receive, send, limit)
        requests.in_progress += 1
        try:
            async with limit:
                try:
                    await self._answer(scope, receive, answered)
                except Exception as error:
                    if answered.status:
                        raise
                    await answered.by(problem_response(error))
        except TimeoutError:
            if answered.status:
                raise
            seconds = self._settings.request_seconds
            await answered.by(problem_response(RequestTooSlow(f"the request took more than {seconds:g} s")))
        finally:
            requests.in_progress -= 1
            seconds = time.perf_counter() - begin
            requests.observe(scope["path"], answered.status, seconds)
            if self._access_log:
                log_request(scope["method"], scope["path"], answered.status, seconds)

    async def _answer(self, scope: Scope, receive: Receive, answered: "_Answered") -> None:
        method, path = scope["method"], scope["path"]
        if not self._access.is_unrestricted:
            refusal = self._access.refusal(path, scope["headers"])
            if refusal is not None:
                raise refusal
        if (method, path) in _WITH_BODY:
            check_headers(dict(scope["headers"]), self._settings.max_body_bytes)
        endpoint = self._endpoints.get(path)
        if method == "POST" and endpoint is not None:
            await answered.by(await endpoint(Request(scope, receive)))
        else:
            await self._app(scope, receive, answered.watch)


class _Answered:
    """A request's answer: sent as it is, or watched and put in our words; `status` is 0 until it begins.

    With that its `limit` of time ends: how long a caller may take to read is for the connection to say.
    """

    __slots__ = ("_is_replaced", "_limit", "_receive", "_scope", "_send", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: asyncio.Timeout) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._limit = limit
        self._is_replaced = False
        self.status = 0

    async def by(self, response: Response) -> None:
        self._begin(response.status_code)
        response.raw_headers.append(NOSNIFF)
        await response(self._scope, self._receive, self._send)

    async def watch(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begin(message["status"])
            if self.status >= 400 and not _is_described(message, self._scope["path"]):
                self._is_replaced = True
                await self.by(_problem(self.status, self._scope))
            else:
                message["headers"] = [*message["headers"], NOSNIFF]
        if not self._is_replaced:
            await self._send(message)

    def _begin(self, status: int) -> None:
        self.status = status
        if not self._limit.expired():
            self._limit.reschedule(None)


def _problem(status: int, scope: Scope) -> Response:
    if status in {404, 405}:
        return problem_response(no_such_route(scope["method"], scope["path"]))
    return problem_of_status(status)


def _is_described(start: Message, path: str) -> bool:
    """Whether an error answer is ours already, and no page of BentoML or Starlette."""
    media_type = Headers(raw=start["headers"]).get("content-type", "")
    return media_type.startswith(PROBLEM_JSON) or (path == HEALTH.path and media_type.startswith(JSON))
