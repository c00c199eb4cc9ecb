"""A method of the service as a BentoML API whose errors are problem details."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import bentoml
import orjson
from _bentoml_sdk.io_models import IODescriptor
from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from classifier.batching import Batcher
from serving.body import parse, read_json, request_timeout
from serving.hangup import EndedByHangup
from serving.problems import problem_response
from serving.routes import JSON, Route


class Batched(Protocol):
    """A service whose texts go through a batcher."""

    batcher: Batcher[Any]


Service = TypeVar("Service", bound=Batched)

Endpoint = Callable[[Request], Awaitable[Response]]
"""Answers a request; what goes wrong is an answer, too."""


def json_response(answer: Any) -> Response:
    """An answer of the contract as JSON."""
    return Response(orjson.dumps(answer), media_type=JSON)


def endpoint(
    route: Route, max_body_bytes: int
) -> Callable[[Callable[[Service, Any, float | None], Awaitable[Any]]], Any]:
    """Decorate `async def method(self, request: <route.request>, timeout: float | None) -> <route.answer>`.

    The method's name is the name that BentoML's clients call. BentoML would validate by itself and answer in
    its own words; so it is handed the request unread, and its schema for the clients comes from the route.
    While the queue is full, the body is not even read.
    """
    request_model = _request_model(route)

    def decorate(method: Callable[[Service, Any, float | None], Awaitable[Any]]) -> Any:
        async def handler(self: Service, request: Request, /) -> Response:
            try:
                self.batcher.check_open()
                timeout = request_timeout(dict(request.scope["headers"]))
                body = await read_json(request, max_body_bytes)
                query = request.query_params if route.query else None
                parsed = parse(request_model, body, query, route.query)
                with EndedByHangup(request):
                    return json_response(await method(self, parsed, timeout))
            except Exception as error:
                return problem_response(error)

        handler.__name__ = method.__name__
        handler.__doc__ = method.__doc__
        handler.__module__ = method.__module__
        return bentoml.api(
            route=route.path, input_spec=_unread_request(route), output_spec=_described_answer(route)
        )(handler)

    return decorate


def endpoints_of(service: bentoml.Service[Any]) -> dict[str, Endpoint]:
    """The service's own endpoints by path: not those that BentoML batches."""

    # Each look into the package `bentoml` would go through its lazy imports.
    current = bentoml.get_current_service

    def bound(handler: Callable[[Any, Request], Awaitable[Response]]) -> Endpoint:
        return lambda request: handler(current(), request)

    return {api.route: bound(api.func) for api in service.apis.values() if not api.batchable}


def batchable_endpoint(
    route: Route, max_body_bytes: int, max_batch_size: int, max_latency_ms: int
) -> Callable[[Callable[[Service, list[str]], Awaitable[list[Any]]]], Any]:
    """Decorate `async def method(self, texts: list[str]) -> list[answer | Exception]`, batched by BentoML.

    An error stands in the batch in its text's place, so that it reaches its own caller and no other.
    """

    def decorate(method: Callable[[Service, list[str]], Awaitable[list[Any]]]) -> Any:
        async def handler(self: Service, items: list[str | Exception], /) -> list[Any]:
            texts = [item for item in items if isinstance(item, str)]
            try:
                answers = iter(await method(self, texts))
                return [next(answers) if isinstance(item, str) else item for item in items]
            except Exception as error:
                return [error if isinstance(item, str) else item for item in items]

        handler.__name__ = method.__name__
        handler.__doc__ = method.__doc__
        handler.__module__ = method.__module__
        return bentoml.api(
            route=route.path,
            input_spec=_texts_or_error(route, max_body_bytes),
            output_spec=_answers_or_problem(route),
            batchable=True,
            max_batch_size=max_batch_size,
            max_latency_ms=max_latency_ms,
        )(handler)

    return decorate


def _request_model(route: Route) -> type[BaseModel]:
    if route.request is None:
        raise TypeError(f"{route.method} {route.path} has no request model")
    return route.request


def _unread_request(route: Route) -> type[IODescriptor]:
    """An input that is described by the route and handed on unread."""
    request_model = _request_model(route)

    class UnreadRequest(IODescriptor):  # type: ignore[misc]
        __root_input__ = True

        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return request_model.model_json_schema(*args, **kwargs)

        @classmethod
        async def from_http_request(cls, request: Request, serde: Any) -> Any:
            return request

    return UnreadRequest


def _described_answer(route: Route) -> type[IODescriptor]:
    """An output that is described by the route; the method gives the response itself."""
    adapter = TypeAdapter(route.answer)

    class DescribedAnswer(IODescriptor):  # type: ignore[misc]
        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return adapter.json_schema(*args, **kwargs)

    return DescribedAnswer


def _texts_or_error(route: Route, max_body_bytes: int) -> type[IODescriptor]:
    """An input that is read into the list of its texts, or of the one error that refuses it."""
    described, request_model = _unread_request(route), _request_model(route)

    class TextsOrError(described):  # type: ignore[valid-type,misc]
        __root_input__ = True

        @classmethod
        async def from_http_request(cls, request: Request, serde: Any) -> Any:
            try:
                bentoml.get_current_service().batcher.check_open()
                return parse(request_model, await read_json(request, max_body_bytes)).texts  # type: ignore[attr-defined]
            except Exception as error:
                return [error]

    return TextsOrError


def _answers_or_problem(route: Route) -> type[IODescriptor]:
    """An output that is a problem if any of its items is an error."""
    described = _described_answer(route)

    class AnswersOrProblem(described):  # type: ignore[valid-type,misc]
        @classmethod
        async def to_http_response(cls, obj: Any, serde: Any) -> Response:
            errors = [item for item in obj if isinstance(item, Exception)]
            return problem_response(errors[0]) if errors else json_response(obj)

    return AnswersOrProblem
