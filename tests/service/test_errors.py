"""A request that breaks the contract gets a problem document that names the thing, its value and the rule."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from asking import JSON, broken_rules, post, problem, stream
from starlette.testclient import TestClient

from classifier.schema import MAX_TEXT_CHARS, MAX_TEXTS, MAX_THRESHOLDS
from serving.routes import ROUTES

POSTED = [route.path for route in ROUTES if route.request is not None]
FOR_MODEL = [route.path for route in ROUTES if route.is_for_model]
WITH_TEXT = ["/predict", "/predict/top-k", "/predict/thresholds", "/predict/explain"]
WITH_TEXTS = ["/predict/batch", "/classify"]
MEBIBYTE = 2**20
LIMIT = 2 * MEBIBYTE

BLANK = "is blank; it needs at least one character that is not white space"


# 400: not JSON


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"  ", id="white space"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"text=good", id="a form"),
        pytest.param(b"{'text': 'good'}", id="single quotes"),
        pytest.param(b'{"text": "good",}', id="trailing comma"),
        pytest.param(b'{"text": "good", "threshold": NaN}', id="NaN"),
        pytest.param(b'{"text": "good", "threshold": Infinity}', id="Infinity"),
        pytest.param(b'{"text": "good", "threshold": -Infinity}', id="-Infinity"),
        pytest.param(b'{"text": "good", "threshold": 1e999}', id="a number beyond double"),
        pytest.param(b'{"text": "\\ud800"}', id="lone surrogate, escaped"),
        pytest.param(b'{"text": "\xed\xa0\x80"}', id="lone surrogate, encoded"),
        pytest.param(b'{"text": "\xff"}', id="not UTF-8"),
        pytest.param('{"text": "good"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"text": "good"}', id="byte order mark"),
        pytest.param(b'{"text": "a\x00b"}', id="raw null byte"),
        pytest.param(b"[" * 100_000, id="100,000 open brackets"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="100,000 nested arrays"),
        pytest.param(b'{"text":' * 100_000, id="100,000 nested objects"),
    ],
)
def test_a_body_that_is_not_json_is_refused_with_the_position_of_the_error(
    client: TestClient, path: str, body: bytes
) -> None:
    detail = problem(post(client, path, body), 400)["detail"]
    assert detail.startswith("the body is not JSON: ")
    assert "line 1 column" in detail
    assert len(detail) < 300


# 415: wrong media type


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/vnd.bentoml+pickle",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/problem+json",
    ],
)
def test_another_media_type_is_refused_by_its_name(client: TestClient, path: str, media_type: str) -> None:
    response = post(client, path, {"text": "good"}, {"content-type": media_type})
    named = media_type.partition(";")[0]
    expected = f"the body's media type is '{named}'; it must be application/json"
    assert problem(response, 415)["detail"] == expected


@pytest.mark.parametrize("path", POSTED)
def test_a_body_without_a_media_type_is_refused(client: TestClient, path: str) -> None:
    detail = problem(post(client, path, {"text": "good"}, {}), 415)["detail"]
    assert detail == "the body's media type is not declared; it must be application/json"


# 413: too large


@pytest.mark.parametrize("path", POSTED)
def test_a_body_whose_declared_length_is_over_the_limit_is_refused_unread(
    client: TestClient, path: str
) -> None:
    answer = stream(client, path, [b" " * MEBIBYTE] * 3, JSON | {"content-length": str(3 * MEBIBYTE)})
    assert answer.status == 413
    assert answer.document["detail"] == f"the body has {3 * MEBIBYTE} bytes; at most {LIMIT} are allowed"
    assert answer.chunks_read == 0


@pytest.mark.parametrize("path", POSTED)
def test_a_chunked_body_over_the_limit_is_refused_without_reading_the_rest(
    client: TestClient, path: str
) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 2**16

    answer = stream(client, path, endless(), JSON | {"transfer-encoding": "chunked"})
    assert answer.status == 413
    assert answer.document["detail"] == f"the body has more than {LIMIT} bytes, which is the most allowed"
    assert answer.chunks_read == LIMIT // 2**16 + 1


@pytest.mark.parametrize("path", POSTED)
def test_a_body_over_the_limit_is_refused_although_it_declared_a_short_length(
    client: TestClient, path: str
) -> None:
    answer = stream(client, path, [b" " * MEBIBYTE] * 4, JSON | {"content-length": "10"})
    assert answer.status == 413
    assert answer.chunks_read == 3


def test_a_body_of_exactly_the_limit_is_read(client: TestClient) -> None:
    body = b'{"text": "good"}'
    assert post(client, "/predict", body + b" " * (LIMIT - len(body))).status_code == 200
    problem(post(client, "/predict", body + b" " * (LIMIT + 1 - len(body))), 413)


def test_the_limit_is_that_of_the_settings(service: ModuleType) -> None:
    assert service.settings.api.max_body_bytes == LIMIT


# 422: JSON that breaks the contract


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"[]", "an array"),
        (b'[{"text": "good"}]', "an array"),
        (b"7", "7"),
        (b"null", "null"),
        (b"true", "true"),
        (b'"good"', '"good"'),
    ],
)
def test_json_that_is_not_an_object_is_refused(
    client: TestClient, path: str, body: bytes, shown: str
) -> None:
    rule = (["body"], f"the body is {shown}; it must be an object", "model_type")
    assert broken_rules(post(client, path, body)) == [rule]


@pytest.mark.parametrize("path", FOR_MODEL)
def test_a_missing_field_is_named(client: TestClient, path: str) -> None:
    name = "texts" if path in WITH_TEXTS else "text"
    rule = (["body", name], f"{name} is missing; it is required", "missing")
    assert broken_rules(post(client, path, {})) == [rule]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/predict", "text, threshold"),
        ("/predict/batch", "texts, return_probabilities"),
        ("/predict/top-k", "text, k"),
        ("/predict/thresholds", "text, thresholds"),
        ("/predict/explain", "text, label, top"),
        ("/classify", "texts"),
    ],
)
def test_an_unknown_field_is_refused_and_the_known_ones_are_listed(
    client: TestClient, path: str, fields: str
) -> None:
    body = ({"texts": ["good"]} if path in WITH_TEXTS else {"text": "good"}) | {"treshold": 0.5}
    message = f"treshold is not a field of this request; its fields are {fields}"
    assert broken_rules(post(client, path, body)) == [(["body", "treshold"], message, "extra_forbidden")]


def test_every_broken_rule_is_reported(client: TestClient) -> None:
    rules = broken_rules(post(client, "/predict", {"txt": "good", "threshold": -1}))
    assert [(loc, kind) for loc, _, kind in rules] == [
        (["body", "text"], "missing"),
        (["body", "threshold"], "greater_than_equal"),
        (["body", "txt"], "extra_forbidden"),
    ]


@pytest.mark.parametrize("path", FOR_MODEL)
def test_many_unknown_fields_get_one_short_answer(client: TestClient, path: str) -> None:
    response = post(client, path, {f"{number:x}": 1 for number in range(150_000)})
    ((loc, message, kind),) = broken_rules(response)
    assert (loc, kind) == (["body"], "extra_forbidden")
    assert message.startswith("the body has 150000 fields that are not of this request; its fields are text")
    assert len(response.content) < 1000


def test_a_long_name_of_an_unknown_field_is_truncated_in_the_answer(client: TestClient) -> None:
    response = post(client, "/predict", {"text": "good", "n" * 1_000_000: 1})
    ((loc, message, _),) = broken_rules(response)
    assert loc == ["body", "n" * 60 + "…"]
    assert message.startswith("n" * 60 + "… is not a field of this request")
    assert len(response.content) < 1000


@pytest.mark.parametrize("path", WITH_TEXT)
@pytest.mark.parametrize(
    ("value", "shown"),
    [(5, "5"), (None, "null"), (True, "true"), (["good"], "an array"), ({"a": 1}, "an object")],
)
def test_a_text_of_another_type_is_refused(client: TestClient, path: str, value: Any, shown: str) -> None:
    rule = (["body", "text"], f"text is {shown}: input should be a valid string", "string_type")
    assert broken_rules(post(client, path, {"text": value})) == [rule]


@pytest.mark.parametrize("depth", [300, 1000])
def test_a_deeply_nested_value_of_another_type_is_refused_like_any_other(
    client: TestClient, depth: int
) -> None:
    body = b'{"text": ' + b"[" * depth + b"]" * depth + b"}"
    rule = (["body", "text"], "text is an array: input should be a valid string", "string_type")
    assert broken_rules(post(client, "/predict", body)) == [rule]


@pytest.mark.parametrize("path", WITH_TEXT)
@pytest.mark.parametrize("text", ["", " ", "\n\t\r ", "\u00a0\u2003\u3000"])
def test_a_blank_text_is_refused(client: TestClient, path: str, text: str) -> None:
    rule = (["body", "text"], f"text {BLANK}", "text_blank")
    assert broken_rules(post(client, path, {"text": text})) == [rule]


@pytest.mark.parametrize("path", WITH_TEXT)
def test_one_character_too_many_is_refused_with_both_numbers(client: TestClient, path: str) -> None:
    rule = (["body", "text"], "text has 10001 characters; at most 10000 are allowed", "text_too_long")
    assert broken_rules(post(client, path, {"text": "a" * (MAX_TEXT_CHARS + 1)})) == [rule]


@pytest.mark.parametrize("path", WITH_TEXTS)
def test_an_empty_list_of_texts_is_refused(client: TestClient, path: str) -> None:
    rule = (["body", "texts"], "texts has 0 items; at least 1 is needed", "too_short")
    assert broken_rules(post(client, path, {"texts": []})) == [rule]


@pytest.mark.parametrize("path", WITH_TEXTS)
def test_one_text_too_many_is_refused(client: TestClient, path: str) -> None:
    rule = (["body", "texts"], "texts has 101 items; at most 100 are allowed", "too_long")
    assert broken_rules(post(client, path, {"texts": ["good"] * (MAX_TEXTS + 1)})) == [rule]


@pytest.mark.parametrize("path", WITH_TEXTS)
@pytest.mark.parametrize(
    ("wrong", "message", "kind"),
    [
        (" ", f"texts[37] {BLANK}", "text_blank"),
        ("a" * 10_001, "texts[37] has 10001 characters; at most 10000 are allowed", "text_too_long"),
        (5, "texts[37] is 5: input should be a valid string", "string_type"),
    ],
)
def test_one_wrong_text_among_a_hundred_is_named_by_its_index(
    client: TestClient, path: str, wrong: Any, message: str, kind: str
) -> None:
    texts: list[Any] = ["good"] * MAX_TEXTS
    texts[37] = wrong
    assert broken_rules(post(client, path, {"texts": texts})) == [(["body", "texts", 37], message, kind)]


@pytest.mark.parametrize("path", WITH_TEXTS)
def test_texts_that_are_not_a_list_are_refused(client: TestClient, path: str) -> None:
    rule = (["body", "texts"], 'texts is "good": input should be a valid list', "list_type")
    assert broken_rules(post(client, path, {"texts": "good"})) == [rule]


@pytest.mark.parametrize(
    ("value", "message", "kind"),
    [
        (2, "threshold is 2: input should be less than or equal to 1", "less_than_equal"),
        (-0.1, "threshold is -0.1: input should be greater than or equal to 0", "greater_than_equal"),
        ("0.5", 'threshold is "0.5": input should be a valid number', "float_type"),
        (True, "threshold is true: input should be a valid number", "float_type"),
    ],
)
def test_a_threshold_that_is_not_a_probability_is_refused(
    client: TestClient, value: Any, message: str, kind: str
) -> None:
    response = post(client, "/predict", {"text": "good", "threshold": value})
    assert broken_rules(response) == [(["body", "threshold"], message, kind)]


@pytest.mark.parametrize(
    ("value", "loc", "message"),
    [
        ([], [], "thresholds has 0 items; at least 1 is needed"),
        ([0.5] * (MAX_THRESHOLDS + 1), [], "thresholds has 101 items; at most 100 are allowed"),
        ([0.5, 2], [1], "thresholds[1] is 2: input should be less than or equal to 1"),
        (0.5, [], "thresholds is 0.5: input should be a valid list"),
        (None, [], "thresholds is null: input should be a valid list"),
    ],
)
def test_wrong_thresholds_are_refused(client: TestClient, value: Any, loc: list[int], message: str) -> None:
    response = post(client, "/predict/thresholds", {"text": "good", "thresholds": value})
    ((got_loc, got_message, _),) = broken_rules(response)
    assert (got_loc, got_message) == (["body", "thresholds", *loc], message)


def test_return_probabilities_must_be_a_boolean(client: TestClient) -> None:
    response = post(client, "/predict/batch", {"texts": ["good"], "return_probabilities": "no"})
    message = 'return_probabilities is "no": input should be a valid boolean'
    assert broken_rules(response) == [(["body", "return_probabilities"], message, "bool_type")]


@pytest.mark.parametrize(
    ("value", "message", "kind"),
    [
        (0, "k is 0: input should be greater than or equal to 1", "greater_than_equal"),
        (-1, "k is -1: input should be greater than or equal to 1", "greater_than_equal"),
        ("x", 'k is "x": input should be a valid integer', "int_type"),
        ("2", 'k is "2": input should be a valid integer', "int_type"),
        (1.5, "k is 1.5: input should be a valid integer", "int_type"),
        (True, "k is true: input should be a valid integer", "int_type"),
        (None, "k is null: input should be a valid integer", "int_type"),
    ],
)
def test_an_invalid_k_in_the_body_is_refused(client: TestClient, value: Any, message: str, kind: str) -> None:
    response = post(client, "/predict/top-k", {"text": "good", "k": value})
    assert broken_rules(response) == [(["body", "k"], message, kind)]


@pytest.mark.parametrize(
    ("query", "message", "kind"),
    [
        ("k=0", "k is 0: input should be greater than or equal to 1", "greater_than_equal"),
        ("k=-1", "k is -1: input should be greater than or equal to 1", "greater_than_equal"),
        ("k=x", 'k is "x": input should be a valid integer', "int_type"),
        ("k=", 'k is "": input should be a valid integer', "int_type"),
        ("k=1.5", 'k is "1.5": input should be a valid integer', "int_type"),
        ("k=%D9%A1", 'k is "١": input should be a valid integer', "int_type"),
        ("k=" + "9" * 5000, f'k is "{"9" * 59}…: input should be a valid integer', "int_type"),
        ("k=1&k=2", "k is an array: input should be a valid integer", "int_type"),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"k": 2}], ids=["not in the body", "also in the body"])
def test_an_invalid_k_in_the_query_is_refused_with_its_place(
    client: TestClient, query: str, message: str, kind: str, fields: dict[str, int]
) -> None:
    response = post(client, f"/predict/top-k?{query}", {"text": "good"} | fields)
    assert broken_rules(response) == [(["query", "k"], message, kind)]


def test_an_invalid_k_in_the_body_is_refused_even_if_the_query_has_a_valid_one(client: TestClient) -> None:
    response = post(client, "/predict/top-k?k=2", {"text": "good", "k": 0})
    assert [loc for loc, _, _ in broken_rules(response)] == [["body", "k"]]


# 404 and 405


@pytest.mark.parametrize(
    "path", ["/nowhere", "/predict/", "/predict/nothing", "/docs.json", "/static_content/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_an_unknown_route_gets_a_problem_that_names_it(client: TestClient, method: str, path: str) -> None:
    detail = problem(client.request(method, path), 404)["detail"]
    assert detail == f"there is no route '{path}'; GET / lists the routes"


def test_a_long_unknown_path_is_truncated_in_the_answer(client: TestClient) -> None:
    assert len(problem(client.get("/" + "x" * 5000), 404)["detail"]) < 300


@pytest.mark.parametrize("path", ["/%ff%00", "/%0d%0aset-cookie:x", "/..%2f..%2fetc%2fpasswd"])
def test_an_odd_path_is_an_unknown_route(client: TestClient, path: str) -> None:
    problem(client.get(path), 404)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_is_refused_and_the_answer_names_the_right_one(
    client: TestClient, method: str, route: Any
) -> None:
    if method == route.method:
        return
    response = client.request(method, route.path)
    detail = f"{method} is not a method of {route.path}; it takes {route.method}"
    assert problem(response, 405)["detail"] == detail
    assert response.headers["allow"] == route.method


@pytest.mark.parametrize("path", ["/docs/static/nothing.js", "/docs/static/../docs.html", "/docs/swagger/"])
def test_a_missing_file_of_the_api_page_gets_a_problem(client: TestClient, path: str) -> None:
    problem(client.get(path), 404)


def test_a_content_length_of_thousands_of_digits_is_treated_like_any_other(client: TestClient) -> None:
    body = b'{"text": "Good"}'
    long = JSON | {"content-length": "0" * 5000 + str(len(body))}
    assert post(client, "/predict", body, long).status_code == 200
    problem(post(client, "/predict", body, JSON | {"content-length": "1" * 5000}), 413)
