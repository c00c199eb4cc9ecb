"""A real service whose model gives a text several labels, or none."""

import json
import re
from collections.abc import Iterator
from typing import Any

import bentoml
import httpx
import pytest
from asking import JSON
from pydantic import TypeAdapter
from server_process import PROJECT, Server
from several import LABELS, NONE, ONE, THRESHOLDS, TWO
from several_service import running_several

from serving.routes import FEEDBACK, PREDICTIONS, ROUTES

API = PROJECT / "docs" / "api.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_several(tmp_path_factory.mktemp("several")) as server:
        yield server


def post(server: Server, path: str, **body: Any) -> Any:
    answer = httpx.post(server.url + path, json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(("text", "labels"), [(TWO, ["acting", "plot"]), (ONE, ["music"]), (NONE, [])])
def test_a_text_gets_all_labels_that_reach_their_thresholds(
    server: Server, text: str, labels: list[str]
) -> None:
    answer = post(server, "/predict", text=text)
    assert answer["labels"] == labels
    own = dict(zip(LABELS, THRESHOLDS, strict=True))
    assert labels == [label for label, value in answer["probabilities"].items() if value >= own[label]]


def test_the_label_is_the_most_probable_one_even_if_the_text_has_none(server: Server) -> None:
    answer = post(server, "/predict", text=NONE)
    assert answer["labels"] == []
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].__getitem__)
    assert answer["confidence"] == max(answer["probabilities"].values())
    assert answer["predicted_class"] == LABELS.index(answer["label"])


def test_probabilities_need_not_sum_to_one(server: Server) -> None:
    assert sum(post(server, "/predict", text=TWO)["probabilities"].values()) > 1.5


@pytest.mark.parametrize(("threshold", "labels"), [(0.0, list(LABELS)), (0.7, ["plot"]), (1.0, [])])
def test_a_threshold_of_the_request_replaces_those_of_all_labels(
    server: Server, threshold: float, labels: list[str]
) -> None:
    answer = post(server, "/predict", text=TWO, threshold=threshold)
    assert answer["labels"] == labels
    assert (answer["final_prediction"] == "uncertain") is (not labels)


def test_a_batch_has_the_answers_of_its_texts(server: Server) -> None:
    texts = [TWO, ONE, NONE]
    alone = [post(server, "/predict", text=text) for text in texts]
    assert post(server, "/predict/batch", texts=texts)["predictions"] == alone


def test_a_batch_without_probabilities_has_its_labels(server: Server) -> None:
    (answer,) = post(server, "/predict/batch", texts=[TWO], return_probabilities=False)["predictions"]
    assert answer["labels"] == ["acting", "plot"]
    assert "probabilities" not in answer


def test_the_classify_route_answers_as_predict_does(server: Server) -> None:
    assert post(server, "/classify", texts=[TWO, NONE]) == [
        post(server, "/predict", text=TWO),
        post(server, "/predict", text=NONE),
    ]


def test_top_k_ranks_the_labels_by_their_own_probabilities(server: Server) -> None:
    found = post(server, "/predict/top-k", text=TWO, k=2)["top_predictions"]
    probabilities = post(server, "/predict", text=TWO)["probabilities"]
    assert found == [{"label": label, "probability": probabilities[label]} for label in ("plot", "acting")]


def test_each_threshold_shows_the_labels_that_reach_it(server: Server) -> None:
    rows = post(server, "/predict/thresholds", text=TWO, thresholds=[0.05, 0.5, 0.99])["results"]
    assert [row["labels"] for row in rows] == [list(LABELS), ["acting", "plot"], []]
    assert {tuple(row) for row in rows} == {
        ("threshold", "predicted_class", "label", "confidence", "labels"),
    }


def test_the_default_thresholds_are_tried_as_well(server: Server) -> None:
    rows = post(server, "/predict/thresholds", text=TWO)["results"]
    assert [row["threshold"] for row in rows] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert [len(row["labels"]) for row in rows] == [2, 2, 2, 2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize("label", LABELS)
def test_the_probability_of_any_label_follows_from_its_explanation(server: Server, label: str) -> None:
    answer = post(server, "/predict/explain", text=TWO, label=label)
    assert answer["compared_with"] == "a text without this label"
    assert answer["labels"] == ["acting", "plot"]
    parts = sum(one["contribution"] for one in answer["contributions"])
    score = answer["bias"] + parts + answer["remainder"]["contribution"] + answer["interaction"]
    assert score == pytest.approx(answer["score"])
    log_odds = answer["calibration"]["scale"] * answer["score"] + answer["calibration"]["bias"]
    assert 1 / (1 + 2.718281828459045**-log_odds) == pytest.approx(answer["probabilities"][label])


def test_without_a_label_the_most_probable_one_is_explained(server: Server) -> None:
    assert post(server, "/predict/explain", text=NONE)["explained_label"] == "acting"


def test_the_model_is_described_with_the_threshold_of_each_label(server: Server) -> None:
    info = httpx.get(f"{server.url}/model/info").json()
    assert info["thresholds"] == dict(zip(LABELS, THRESHOLDS, strict=True))


def test_feedback_is_refused_with_the_reason(server: Server) -> None:
    answer = httpx.post(server.url + FEEDBACK.path, json={"request_id": "a", "label": "plot"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Feedback is for one label",
        "status": 404,
        "detail": "feedback is for models with one label a text, and this model can give a text several "
        "labels",
    }


def test_bentomls_client_gets_the_same_answers(server: Server) -> None:
    with bentoml.SyncHTTPClient(server.url) as client:
        assert client.predict(text=TWO) == post(server, "/predict", text=TWO)
        assert client.predict(text=TWO, threshold=0.7)["labels"] == ["plot"]
        assert client.predict_batch(texts=[TWO, NONE]) == post(server, "/predict/batch", texts=[TWO, NONE])
        assert client.classify(texts=[ONE]) == post(server, "/classify", texts=[ONE])


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.group == PREDICTIONS], ids=lambda route: route.path
)
def test_the_examples_of_the_openapi_document_are_answered_as_described(server: Server, route: Any) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    operation = document["paths"][route.path]["post"]
    body = operation["requestBody"]["content"]["application/json"]["example"]
    TypeAdapter(route.answer).validate_python(post(server, route.path, **body), strict=True)


def test_the_openapi_document_describes_the_labels_and_the_thresholds(server: Server) -> None:
    schemas = httpx.get(f"{server.url}/openapi.json").json()["components"]["schemas"]
    for name, field in (
        ("PredictionAnswer", "labels"),
        ("ExplanationAnswer", "labels"),
        ("ThresholdAnswer", "labels"),
        ("ModelInfo", "thresholds"),
    ):
        assert "several labels" in schemas[name]["properties"][field]["description"]
        assert field not in schemas[name]["required"]
    assert schemas["ExplainRequest"]["properties"]["label"]["anyOf"][0]["enum"] == list(LABELS)


SECTION = API.read_text(encoding="utf-8").partition("## Several labels a text")[2].partition("\n## ")[0]
EXAMPLES = re.findall(
    r"^```json\n(.*?)^```\n+`([A-Z]+) (\S+)` (?:answers|gives)[^\n]*:\n+```json\n(.*?)^```",
    SECTION,
    re.MULTILINE | re.DOTALL,
)


def test_the_api_page_has_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(
    ("body", "method", "path", "shown"), EXAMPLES, ids=[path for _, _, path, _ in EXAMPLES]
)
def test_the_examples_of_the_api_page_get_the_answers_below_them(
    server: Server, body: str, method: str, path: str, shown: str
) -> None:
    answer = httpx.request(method, server.url + path, content=body.encode(), headers=JSON).json()
    assert rounded(answer) == rounded(json.loads(shown))


def rounded(value: Any) -> Any:
    """The value with six digits of each number, as the page shows them."""
    return json.loads(json.dumps(value), parse_float=lambda number: round(float(number), 6))
