"""An endpoint answers the requests of one route with a function of the contract's types."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serving.request.body import parse, read_json, request_timeout
from serving.request.hangup import CancelledByDisconnect
from serving.request.problems import problem_response
from serving.routes import JSON, Route
from serving.running import RunningService, running_service

Answer = Callable[[RunningService, Any, float | None], Awaitable[Any]]
"""`async def answer(service, request: <route.request>, timeout: float | None) -> <route.answer>`."""


@dataclass(frozen=True)
class Endpoint:
    """A route with the function that answers its requests."""

    route: Route
    answer: Answer
    """Its name is the one by which BentoML's clients call the endpoint."""

    async def __call__(self, request: Request) -> Response:
        """Read a request and answer it. Errors become answers as well."""
        try:
            service = running_service(request.scope)
            timeout = request_timeout(dict(request.scope["headers"]))
            body = await read_json(request, service.settings.api.max_body_bytes)
            query = request.query_params if request.scope["query_string"] else None
            parsed = parse(self.route.request_model, body, query, self.route.query)
            with CancelledByDisconnect(request):
                return json_response(await self.answer(service, parsed, timeout))
        except Exception as error:
            return problem_response(error)


def json_response(answer: Any) -> Response:
    """An answer of the contract as JSON."""
    return Response(orjson.dumps(answer), media_type=JSON)
