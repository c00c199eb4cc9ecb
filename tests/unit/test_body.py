"""A request's body is read within bounds and checked against the contract."""

import asyncio
import json
from typing import Any

import pytest
from starlette.datastructures import QueryParams
from starlette.requests import Request

from classifier.schema import BatchRequest, PredictRequest, TopKRequest
from serving.errors import (
    BodyTooLarge,
    ClientClosedRequest,
    HttpError,
    InvalidRequest,
    MalformedBody,
    UnsupportedMediaType,
)
from serving.request.body import check_headers, parse, read_json, request_timeout
from serving.request.hangup import CONNECTION

JSON = {b"content-type": b"application/json"}


class Connection:
    """The protocol's record of a client's connection."""

    is_lost = False
    when_lost = None

    def __init__(self, failure: HttpError | None) -> None:
        self.failure = failure


def read(*chunks: bytes, max_bytes: int = 100, ends: bool = True, failure: HttpError | None = None) -> Any:
    """Read a body that arrives in these chunks. Unless it `ends`, the client disconnects after them."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks) or not ends}
        for number, chunk in enumerate(chunks, start=1)
    ]
    messages.append({"type": "http.disconnect"})
    scope = {"type": "http", "extensions": {CONNECTION: Connection(failure)}}

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return asyncio.run(read_json(Request(scope, receive), max_bytes))


def broken(
    model: Any, body: Any, query: str = "", fields: tuple[str, ...] = ()
) -> list[tuple[Any, str, str]]:
    """The place, the message and the type of each broken rule."""
    with pytest.raises(InvalidRequest) as caught:
        parse(model, body, QueryParams(query), fields)
    return [(error.loc, error.msg, error.type) for error in caught.value.errors]


# The headers


@pytest.mark.parametrize(
    "media_type", [b"application/json", b"Application/JSON", b" application/json ; charset=utf-8; a=b"]
)
def test_a_body_declared_as_json_is_read(media_type: bytes) -> None:
    check_headers({b"content-type": media_type, b"content-length": b"100"}, 100)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "the body's media type is not declared; it must be application/json"),
        (
            {b"content-type": b"; charset=utf-8"},
            "the body's media type is not declared; it must be application/json",
        ),
        ({b"content-type": b"Text/\xe9"}, "the body's media type is 'text/é'; it must be application/json"),
        (
            {b"content-type": b"a" * 61},
            f"the body's media type is '{'a' * 60}…'; it must be application/json",
        ),
        (
            {b"content-type": b"a" * 60},
            f"the body's media type is '{'a' * 60}'; it must be application/json",
        ),
        (JSON | {b"content-encoding": b"gz\xe9p"}, "the body's content-encoding is gzép; send it as it is"),
    ],
)
def test_another_media_type_or_encoding_is_refused(headers: dict[bytes, bytes], message: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        check_headers(headers, 100)
    assert str(caught.value) == message


def test_the_content_encoding_identity_is_accepted() -> None:
    check_headers(JSON | {b"content-encoding": b"identity"}, 100)


def test_a_body_with_a_too_large_declared_length_is_refused_unread() -> None:
    with pytest.raises(BodyTooLarge) as caught:
        check_headers(JSON | {b"content-length": b"0101"}, 100)
    assert str(caught.value) == "the body has 101 bytes; at most 100 are allowed"


def test_a_content_length_that_is_not_a_number_is_ignored_here() -> None:
    check_headers(JSON | {b"content-length": b"-1x"}, 100)


# The timeout


@pytest.mark.parametrize(("given", "seconds"), [(b"0.25", 0.25), (b"1", 1.0), (b" 2e1 ", 20.0)])
def test_a_timeout_is_a_number_of_seconds(given: bytes, seconds: float) -> None:
    assert request_timeout({b"x-request-timeout": given}) == seconds


def test_a_missing_timeout_is_none() -> None:
    assert request_timeout(JSON) is None


@pytest.mark.parametrize("given", ["0", "-1", "inf", "nan", "soon", "", "é"])
def test_a_timeout_that_is_not_a_positive_number_of_seconds_is_invalid(given: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        request_timeout({b"x-request-timeout": given.encode("latin-1")})
    (error,) = caught.value.errors
    assert error.loc == ("header", "x-request-timeout")
    assert error.msg == f"x-request-timeout is {given}; it must be a number of seconds above 0"
    assert error.type == "timeout"


# The bytes


@pytest.mark.parametrize("chunks", [(b'{"a": [1]}',), (b'{"a"', b": [1", b"]}"), (b"", b'{"a": [1]}', b"")])
def test_a_body_is_parsed_however_it_is_split(chunks: tuple[bytes, ...]) -> None:
    assert read(*chunks) == {"a": [1]}


def test_a_message_may_omit_fields_with_defaults() -> None:
    messages = [{"type": "http.request", "more_body": True}, {"type": "http.request", "body": b"[1]"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    assert asyncio.run(read_json(Request({"type": "http"}, receive), 3)) == [1]


def test_a_body_at_the_limit_is_read_and_one_byte_more_is_refused_without_reading_the_rest() -> None:
    assert read(b'"aaa', b'aaaa"', max_bytes=9) == "aaaaaaa"
    with pytest.raises(BodyTooLarge) as caught:
        read(b'"aaaa', b'aaaa"', max_bytes=9, ends=False)
    assert str(caught.value) == "the body has more than 9 bytes, which is the most allowed"


def test_the_error_for_invalid_json_states_what_is_wrong() -> None:
    with pytest.raises(MalformedBody, match=r"^the body is not JSON: unexpected .* column 2 "):
        read(b"{")


def test_the_error_for_a_client_that_disconnects_within_its_body_states_the_received_bytes() -> None:
    with pytest.raises(MalformedBody) as caught:
        read(b"[1,", b"2", ends=False)
    assert str(caught.value) == "the client disconnected after 4 bytes of the body"


def test_a_connection_that_the_server_ended_within_a_body_reports_the_servers_reason() -> None:
    with pytest.raises(ClientClosedRequest, match="the reason"):
        read(b"[1,", ends=False, failure=ClientClosedRequest("the reason"))


# The contract


def test_a_valid_body_is_accepted() -> None:
    assert parse(PredictRequest, {"text": " a ", "threshold": 0.5}) == PredictRequest(text="a", threshold=0.5)


@pytest.mark.parametrize(
    ("model", "body", "errors"),
    [
        (PredictRequest, {}, [(("body", "text"), "text is missing; it is required", "missing")]),
        (
            PredictRequest,
            {"text": "a", "tex": 1},
            [
                (
                    ("body", "tex"),
                    "tex is not a field of this request; its fields are text, threshold",
                    "extra_forbidden",
                )
            ],
        ),
        (PredictRequest, [1], [(("body",), "the body is an array; it must be an object", "model_type")]),
        (PredictRequest, "é", [(("body",), 'the body is "é"; it must be an object', "model_type")]),
        (
            PredictRequest,
            {"text": {"a": 1}},
            [(("body", "text"), "text is an object: input should be a valid string", "string_type")],
        ),
        (
            PredictRequest,
            {"text": None},
            [(("body", "text"), "text is null: input should be a valid string", "string_type")],
        ),
        (
            BatchRequest,
            {"texts": ["a", " "]},
            [
                (
                    ("body", "texts", 1),
                    "texts[1] is blank; it needs at least one character that is not white space",
                    "text_blank",
                )
            ],
        ),
        (
            BatchRequest,
            {"texts": ["a" * 10_001]},
            [
                (
                    ("body", "texts", 0),
                    "texts[0] has 10001 characters; at most 10000 are allowed",
                    "text_too_long",
                )
            ],
        ),
        (
            BatchRequest,
            {"texts": []},
            [(("body", "texts"), "texts has 0 items; at least 1 is needed", "too_short")],
        ),
        (
            BatchRequest,
            {"texts": ["a"] * 101},
            [(("body", "texts"), "texts has 101 items; at most 100 are allowed", "too_long")],
        ),
    ],
)
def test_a_broken_rule_names_the_thing_its_value_and_the_rule(
    model: Any, body: Any, errors: list[tuple[Any, str, str]]
) -> None:
    assert broken(model, body) == errors


def test_a_long_name_or_value_is_truncated_in_the_error() -> None:
    ((loc, message, _),) = broken(PredictRequest, {"text": "a", "b" * 61: 1})
    assert loc == ("body", "b" * 60 + "…")
    assert message.startswith("b" * 60 + "… is not a field")
    ((_, message, _),) = broken(PredictRequest, "c" * 100)
    assert message == 'the body is "' + "c" * 59 + "…; it must be an object"


def test_all_broken_rules_are_reported_together() -> None:
    errors = broken(PredictRequest, {"threshold": 2})
    assert [loc for loc, _, _ in errors] == [("body", "text"), ("body", "threshold")]


@pytest.mark.parametrize("count", [19, 20])
def test_a_few_unknown_fields_get_an_error_each(count: int) -> None:
    unknown = {f"field{number}": 1 for number in range(count)}
    assert len(broken(PredictRequest, unknown | {"text": "a"})) == count


def test_many_unknown_fields_get_one_error() -> None:
    unknown = {f"field{number}": 1 for number in range(21)}
    message = "the body has 21 fields that are not of this request; its fields are text, threshold"
    assert broken(PredictRequest, unknown | {"text": "a"}) == [(("body",), message, "extra_forbidden")]


# The query


def top_k(body: Any, query: str) -> TopKRequest:
    return parse(TopKRequest, body, QueryParams(query), ("k",))


def test_a_named_field_may_be_in_the_query() -> None:
    assert top_k({"text": "a"}, "k=3").k == 3


def test_a_field_in_the_body_overrides_the_query() -> None:
    assert top_k({"text": "a", "k": 2}, "k=3").k == 2


@pytest.mark.parametrize(
    ("body", "query", "place", "shown"),
    [
        ({"text": "a"}, "k=0", "query", "0"),
        ({"text": "a"}, "k=-3", "query", "-3"),
        ({"text": "a"}, "k=two", "query", '"two"'),
        ({"text": "a"}, "k=\u0665", "query", '"\u0665"'),
        ({"text": "a"}, "k=--1", "query", '"--1"'),
        ({"text": "a"}, "k=1&k=2", "query", "an array"),
        ({"text": "a", "k": 2}, "k=0", "query", "0"),
        ({"text": "a", "k": 0}, "k=2", "body", "0"),
        ({"text": "a"}, "k=" + "1" * 311, "query", json.dumps("1" * 311)[:60] + "…"),
    ],
)
def test_a_field_must_be_valid_in_the_body_and_in_the_query(
    body: Any, query: str, place: str, shown: str
) -> None:
    ((loc, message, _),) = broken(TopKRequest, body, query, ("k",))
    assert loc == (place, "k")
    assert message.startswith(f"k is {shown}: ")


def test_a_number_in_the_query_may_have_as_many_digits_as_in_json() -> None:
    assert top_k({"text": "a"}, "k=" + "1" * 310).k == int("1" * 310)


def test_the_query_is_not_read_if_the_body_is_not_an_object() -> None:
    assert [loc for loc, _, _ in broken(TopKRequest, [1], "k=0", ("k",))] == [("body",)]


@pytest.mark.parametrize(
    ("fields", "rule"),
    [(("k",), "its only parameter is k"), ((), "the fields of a request are in its body")],
)
def test_an_unknown_parameter_of_the_query_is_refused(fields: tuple[str, ...], rule: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(TopKRequest, {"text": "good"}, QueryParams("n=2&k=1" if fields else "n=2"), fields)
    assert [(error.loc, error.msg) for error in caught.value.errors] == [
        (("query", "n"), f"n is not a query parameter of this request; {rule}")
    ]


def test_at_most_twenty_unknown_parameters_are_listed() -> None:
    query = QueryParams("&".join(f"a{number}=1" for number in range(100)))
    with pytest.raises(InvalidRequest) as caught:
        parse(TopKRequest, {"text": "good"}, query, ("k",))
    assert len(caught.value.errors) == 20
