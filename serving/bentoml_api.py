"""Describes endpoints to BentoML, whose clients read names and schemas from the service.

BentoML would validate requests itself and answer invalid ones in its own format. So its API methods get each
request unread. The schemas that BentoML publishes come from the table of routes.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import bentoml
from _bentoml_sdk.io_models import IODescriptor
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from serving.in_process import InProcess
from serving.request.body import parse, read_json
from serving.request.endpoint import Endpoint, json_response
from serving.request.problems import problem_response
from serving.routes import Route
from serving.running import RunningService, running_service
from serving.telemetry.exchange import EXCHANGE, Exchange


class BentoService(Protocol):
    """An instance of the BentoML service."""

    running: RunningService
    in_process: InProcess


BatchAnswer = Callable[[RunningService, list[str], Exchange], Awaitable[list[Any]]]
"""`async def answer(service, texts, exchange) -> [answer]`, in the order of the texts of one request."""


def bentoml_api(endpoint: Endpoint) -> Any:
    """A method of a BentoML service that describes an endpoint and calls it.

    Its argument is BentoML's request, or the fields of one if Python code calls it in this process.
    """
    route = endpoint.route

    async def handler(service: BentoService, /, *arguments: Any, **fields: Any) -> Any:
        if arguments and isinstance(arguments[0], Request):
            return await _answered(endpoint, service.running, arguments[0])
        request = parse(route.request_model, _named(route, arguments) | fields)
        return await endpoint.answer(service.in_process.here(), request, Exchange())

    _describe_as(handler, endpoint.answer)
    return bentoml.api(
        route=route.path, input_spec=_unread_request(route), output_spec=_described_answer(route)
    )(handler)


def bentoml_batch_api(route: Route, answer: BatchAnswer, max_batch_size: int, max_latency_ms: int) -> Any:
    """A method of a BentoML service whose texts BentoML batches across clients.

    Each request is answered apart from the others in its batch, and its error reaches no other client. Calls
    of Python code in this process are not batched by BentoML.
    """

    async def handler(service: BentoService, /, *arguments: Any, **fields: Any) -> list[Any]:
        if not _is_from_requests(arguments):
            request = parse(route.request_model, _named(route, arguments) | fields)
            return await answer(service.in_process.here(), request.texts, Exchange())  # type: ignore[attr-defined]
        (items,) = arguments
        requests = [
            _answers_of_request(service.running, answer, exchange, list(of_request))
            for exchange, of_request in itertools.groupby(items, key=_exchange_of)
        ]
        return [one for answers in await asyncio.gather(*requests) for one in answers]

    _describe_as(handler, answer)
    return bentoml.api(
        route=route.path,
        input_spec=_texts_or_error(route),
        output_spec=_answers_or_problem(route),
        batchable=True,
        max_batch_size=max_batch_size,
        max_latency_ms=max_latency_ms,
    )(handler)


async def _answered(endpoint: Endpoint, service: RunningService, request: Request) -> Response:
    """Answer a request that BentoML's app received without the edge."""
    exchange = Exchange(service.connections.recorder.new_id(), headers=dict(request.scope["headers"]))
    try:
        return await endpoint(request, exchange)
    except Exception as error:
        return problem_response(error, exchange.request_id)


class _CheckedText(str):
    """A text of a request that keeps the contract. Python code in this process has only plain texts."""

    exchange: Exchange
    """The request that it belongs to."""

    @classmethod
    def of(cls, text: str, exchange: Exchange) -> "_CheckedText":
        """The text of a request."""
        checked = cls(text)
        checked.exchange = exchange
        return checked


def _exchange_of(item: object) -> Exchange | None:
    """The request that a text belongs to; None for the error of a request that broke the contract."""
    return item.exchange if isinstance(item, _CheckedText) else None


def _is_from_requests(arguments: Sequence[Any]) -> bool:
    """Whether these are the items of requests that BentoML has put into one batch."""
    items = arguments[0] if len(arguments) == 1 else ()
    return bool(items) and all(isinstance(item, _CheckedText | Exception) for item in items)


async def _answers_of_request(
    service: RunningService, answer: BatchAnswer, exchange: Exchange | None, items: list[Any]
) -> list[Any]:
    """The answers to the texts of one request, or its problem in the place of each of them."""
    if exchange is None:
        return items
    try:
        return await answer(service, items, exchange)
    except Exception as error:
        exchange.refuse(error, service.settings.batching.deadline_seconds)
        return [problem_response(error, exchange.request_id)] * len(items)


def _named(route: Route, arguments: Sequence[Any]) -> dict[str, Any]:
    """Arguments without names as fields of the request, in their order; raises TypeError for too many."""
    names = list(route.request_model.model_fields)
    if len(arguments) > len(names):
        raise TypeError(f"{len(arguments)} arguments are given; at most {', '.join(names)} are accepted")
    return dict(zip(names, arguments, strict=False))


def _describe_as(handler: Callable[..., object], answer: Callable[..., object]) -> None:
    """Give a handler what BentoML publishes of it: the name and the description of the function it calls."""
    handler.__name__ = answer.__name__
    handler.__doc__ = answer.__doc__
    handler.__module__ = answer.__module__


def _unread_request(route: Route) -> type[IODescriptor]:
    """An input that the route describes and that BentoML does not read."""

    class UnreadRequest(IODescriptor):  # type: ignore[misc]
        __root_input__ = True

        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return route.request_model.model_json_schema(*args, **kwargs)

        @classmethod
        async def from_http_request(cls, request: Request, serde: Any) -> Any:
            return request

    return UnreadRequest


def _described_answer(route: Route) -> type[IODescriptor]:
    """An output that the route describes; the method returns the response itself."""
    adapter = TypeAdapter(route.answer)

    class DescribedAnswer(IODescriptor):  # type: ignore[misc]
        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return adapter.json_schema(*args, **kwargs)

    return DescribedAnswer


def _texts_or_error(route: Route) -> type[IODescriptor]:
    """An input that becomes the list of its texts, or a list of one item, the error that refuses it."""
    described: Any = _unread_request(route)

    class TextsOrError(described):  # type: ignore[misc]
        __root_input__ = True

        @classmethod
        async def from_http_request(cls, request: Request, serde: Any) -> Any:
            try:
                limit = running_service(request.scope).settings.api.max_body_bytes
                body = await read_json(request, limit)
                texts = parse(route.request_model, body, request.query_params).texts  # type: ignore[attr-defined]
                exchange = request.scope.get(EXCHANGE) or Exchange()
                return [_CheckedText.of(text, exchange) for text in texts]
            except Exception as error:
                return [error]

    return TextsOrError


def _answers_or_problem(route: Route) -> type[IODescriptor]:
    """An output that is a problem if its items are."""
    described: Any = _described_answer(route)

    class AnswersOrProblem(described):  # type: ignore[misc]
        @classmethod
        async def to_http_response(cls, obj: Any, serde: Any) -> Response:
            first = obj[0] if obj else None  # All items of a request that failed are the same.
            if isinstance(first, Exception):
                return problem_response(first)
            return first if isinstance(first, Response) else json_response(obj)

    return AnswersOrProblem
