# ruff: noqa: E501 - tables of inputs are easier to read with several entries per line
"""Whatever the body and the headers of a request are, `serving.request.body` reads or refuses them; a refusal has an answer."""

import json
from collections.abc import Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
from fuzzing import Fuzz
from starlette.datastructures import QueryParams
from starlette.requests import Request

from serving.errors import HttpError
from serving.request.body import TIMEOUT_HEADER, check_headers, parse, read_json, request_timeout
from serving.request.problems import problem_response
from serving.routes import ROUTES

WITH_BODY = [route for route in ROUTES if route.request is not None]
MAX_BYTES = 20_000
NAMES = [
    "text",
    "texts",
    "threshold",
    "thresholds",
    "k",
    "return_probabilities",
    "Text",
    "text ",
    "\ud800",
    "\0",
    "é",
    "",
    "a" * 500,
]
STRINGS = [
    "",
    " ",
    "good",
    "0.5",
    "3",
    "\ud800",
    "\udfff\ud800",
    "\0",
    "é",
    "e\u0301" * 40,
    "\u200b",
    "x" * 10_001,
    "\U0010ffff",
    "\ufeff",
    "NaN",
]
NUMBERS = [
    0,
    1,
    -1,
    0.5,
    1e308,
    2**63,
    -(2**63),
    2**64,
    10**400,
    1e-320,
    -0.0,
    0.1,
    3,
    float("nan"),
    float("inf"),
]
PUT = [
    b"",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"1e999",
    b"-",
    b"NaN",
    b"\xef\xbb\xbf",
]
QUERIES = [
    "",
    "k=3",
    "k=0",
    "k=-1",
    "k=",
    "k=a",
    "k=1&k=2",
    "k=%00",
    "k=%ED%A0%80",
    "k=" + "9" * 400,
    "k=1.5",
    "k=\u0663",
    "text=a",
    "k=1_0",
    "&&=&k",
]
HEADER_VALUES = [
    b"",
    b"0",
    b"1",
    b"-1",
    b"1e3",
    b"nan",
    b"inf",
    b"1e999",
    b"0x10",
    b"1_0",
    b" 1",
    b"\xff",
    b"\xd9\xa3",
    b"identity",
    b"gzip",
    b"9" * 5000,
]
MEDIA_TYPES = [
    b"application/json",
    b"Application/JSON; charset=utf-8",
    b"text/plain",
    b"application/json;",
    b"\xff" * 100,
    b"application/json\xe2\x80\xa8",
]


@dataclass(frozen=True)
class Body:
    """A body, the size of its chunks, and the query and headers of its request."""

    content: bytes
    chunk_bytes: int
    query: str
    headers: dict[bytes, bytes]


def drawn_value(random: Random, depth: int = 0) -> Any:
    """Draw a value that JSON can express, or nearly can."""
    match random.randrange(8 if depth < 3 else 4):
        case 0 | 1:
            return random.choice(STRINGS)
        case 2:
            return random.choice(NUMBERS)
        case 3:
            return random.choice([None, True, False])
        case 4 | 5:
            items = [drawn_value(random, depth + 1) for _ in range(random.choice([0, 1, 1, 2, 3]))]
            # Only short items are repeated; nested repetitions would make bodies of 100 MB.
            is_short = all(not isinstance(item, list | dict) and len(str(item)) < 100 for item in items)
            return items * random.choice([1, 1, 1, 101]) if is_short else items
        case _:
            return {random.choice(NAMES): drawn_value(random, depth + 1) for _ in range(random.randrange(5))}


def drawn_body(random: Random) -> Body:
    match random.randrange(6):
        case 0:
            content = random.randbytes(random.randrange(50))
        case 1:
            depth = random.choice([10, 254, 1024, 1025, 5000])
            content = random.choice([b"[", b'{"text":', b'[{"a":']) * depth + random.choice(
                [b"", b"]" * depth, b"}" * depth]
            )
        case _:
            fields: Any = {
                random.choice(NAMES[:6]): drawn_value(random) for _ in range(random.randrange(1, 5))
            }
            value = fields if random.randrange(6) else drawn_value(random)
            content = json.dumps(value, ensure_ascii=bool(random.randrange(2))).encode(
                "utf-8", "surrogatepass"
            )
    if random.randrange(3) == 0:
        for _ in range(random.randint(1, 3)):
            at = random.randint(0, len(content))
            content = content[:at] + random.choice(PUT) + content[at + random.randrange(3) :]
    headers = {
        b"content-type": random.choice(MEDIA_TYPES),
        b"content-length": random.choice(HEADER_VALUES),
        b"content-encoding": random.choice(HEADER_VALUES),
        TIMEOUT_HEADER.encode(): random.choice(HEADER_VALUES),
    }
    sent = {name: value for name, value in headers.items() if random.randrange(2)}
    return Body(content[: 10 * MAX_BYTES], random.choice([1, 7, 4096, 2**20]), random.choice(QUERIES), sent)


def request_of(body: Body) -> Request:
    """The request with this body; its last message is empty, as a server's may be."""
    chunks = [
        body.content[at : at + body.chunk_bytes] for at in range(0, len(body.content), body.chunk_bytes)
    ]
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return messages.pop(0)

    return Request({"type": "http", "query_string": body.query.encode(), "headers": []}, receive)


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits. This is much faster than an event loop for each."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the coroutine waits")


def check_refusal(error: HttpError) -> None:
    """Check that the answer is a short problem document with a reason."""
    response = problem_response(error)
    document = orjson.loads(response.body)
    assert 400 <= document["status"] < 500
    assert document["detail"]
    assert len(response.body) < 100_000, f"the answer has {len(response.body)} bytes"


def test_every_body_is_read_or_refused_with_a_problem_document(fuzz: Fuzz) -> None:
    def check(body: Body) -> None:
        try:
            value = finished(read_json(request_of(body), MAX_BYTES))
        except HttpError as error:
            check_refusal(error)
            return
        assert len(body.content) <= MAX_BYTES
        for route in WITH_BODY:
            assert route.request is not None
            try:
                parsed = parse(route.request, value, QueryParams(body.query), route.query)
            except HttpError as error:
                check_refusal(error)
            else:
                orjson.dumps(parsed.model_dump())

    fuzz(drawn_body, check)


def test_all_headers_are_read_or_refused_with_a_problem_document(fuzz: Fuzz) -> None:
    def check(body: Body) -> None:
        for read in (lambda: check_headers(body.headers, MAX_BYTES), lambda: request_timeout(body.headers)):
            try:
                read()
            except HttpError as error:
                check_refusal(error)

    fuzz(drawn_body, check)
