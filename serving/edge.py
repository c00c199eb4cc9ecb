"""What every request passes first: metrics, the access log, bounds, and errors that are problem details."""

import time

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.body import check_headers
from serving.metrics import in_progress, observe
from serving.problems import PROBLEM_JSON, no_such_route, problem_of_status, problem_response
from serving.routes import HEALTH, JSON, ROUTES

_log = structlog.get_logger("classifier.access")
_WITH_BODY = frozenset((route.method, route.path) for route in ROUTES if route.request is not None)


class Edge:
    """ASGI middleware around everything, BentoML's own routes included."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, access_log: bool) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and watch its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        status = 0
        replaced = False

        async def watch(message: Message) -> None:
            nonlocal status, replaced
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and not _is_described(message, scope["path"]):
                    replaced = True
                    problem = _problem(status, scope)
                    status = problem.status_code
                    await problem(scope, receive, send)
            if not replaced:
                await send(message)

        in_progress.inc()
        try:
            if (scope["method"], scope["path"]) in _WITH_BODY:
                check_headers(Headers(scope=scope), self._max_body_bytes)
            await self._app(scope, receive, watch)
        except Exception as error:
            if status:
                raise
            response = problem_response(error)
            status = response.status_code
            await response(scope, receive, send)
        finally:
            in_progress.dec()
            seconds = time.perf_counter() - begin
            observe(scope["path"], status, seconds)
            if self._access_log:
                _log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    milliseconds=round(1000 * seconds, 3),
                )


def _problem(status: int, scope: Scope) -> Response:
    if status in {404, 405}:
        return problem_response(no_such_route(scope["method"], scope["path"]))
    return problem_of_status(status)


def _is_described(start: Message, path: str) -> bool:
    """Whether an error answer is ours already, and no page of BentoML or Starlette."""
    media_type = Headers(raw=start["headers"]).get("content-type", "")
    return media_type.startswith(PROBLEM_JSON) or (path == HEALTH.path and media_type.startswith(JSON))
