"""The routes that do not predict: their answers, and that the pages load nothing from other hosts."""

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.routing import Route as StarletteRoute
from starlette.testclient import TestClient

from classifier import __version__, schema
from classifier.batching.admission import Stage
from serving import errors
from serving.errors import ClientClosedRequest, HttpError
from serving.pages.app import Pages
from serving.request.endpoints import ENDPOINTS
from serving.routes import HEALTH, PREDICTIONS, ROUTES
from serving.running import RunningService


@pytest.fixture
def leaving(client: TestClient, running: RunningService) -> TestClient:
    """A client of a service that is leaving."""
    running.admission.stage = Stage.LEAVING
    return client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    """The service's OpenAPI document."""
    return client.get("/openapi.json").json()


def fields(client: TestClient, path: str) -> dict[str, Any]:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    return response.json()


def test_the_index_names_the_service_and_lists_every_endpoint(client: TestClient) -> None:
    assert fields(client, "/") == {
        "name": "text-classifier",
        "version": __version__,
        "status": "running",
        "endpoints": {f"{route.method} {route.path}": route.summary for route in ROUTES},
    }


def test_every_route_is_answered_by_an_endpoint_a_page_or_bentoml(service: ModuleType) -> None:
    endpoints = {endpoint.route for endpoint in ENDPOINTS}
    by_bentoml = {route for route in ROUTES if route.is_answered_by_bentoml}
    paths = {route.path for route in Pages("any", "0", False).app.routes if isinstance(route, StarletteRoute)}
    pages = {route for route in ROUTES if route.method == "GET" and route.path in paths}
    assert sorted([*endpoints, *by_bentoml, *pages], key=ROUTES.index) == list(ROUTES)
    assert {api.route for api in service.TextClassifier.apis.values()} == {
        route.path for route in ROUTES if route.method == "POST"
    }


def test_health_reports_a_loaded_model(client: TestClient) -> None:
    assert fields(client, "/health") == {"status": "healthy", "model_loaded": True, "device": "cpu"}


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_the_probes_answer(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=lambda r: r.path)
def test_every_get_route_also_answers_head(client: TestClient, route: Any) -> None:
    assert client.head(route.path).status_code == 200


def test_model_info_describes_the_model_that_answers(client: TestClient, bundled: Path) -> None:
    info = fields(client, "/model/info")
    always = schema.ModelInfo.__required_keys__
    assert list(info) == [name for name in schema.ModelInfo.__annotations__ if name in always]
    TypeAdapter(schema.ModelInfo).validate_python(info, strict=True)
    assert info["model_type"] == "linear"
    assert info["num_classes"] == 2
    assert info["classes"] == ["negative", "positive"]
    assert info["device"] == "cpu"
    assert info["name"] == bundled.name
    assert re.fullmatch("[0-9a-f]{64}", info["digest"])
    assert info["version"] == info["digest"][:12]
    assert info["trained_on"]["rows"] == 24_869
    assert info["metrics"]["test_accuracy"] > 0.9


def test_the_model_card_is_that_of_the_artifact(client: TestClient, bundled: Path) -> None:
    response = client.get("/model/card")
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text == (bundled / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_bundled_models_card_lists_its_strongest_word_groups(client: TestClient) -> None:
    card = client.get("/model/card").text
    assert "## Strongest word groups" in card
    assert "; awful " in card


def test_a_draining_service_has_no_model_card(leaving: TestClient) -> None:
    assert leaving.get("/model/card").status_code == 503


def test_a_draining_service_is_alive_but_not_ready(leaving: TestClient) -> None:
    assert leaving.get("/livez").status_code == 200
    ready = leaving.get("/readyz")
    assert ready.status_code == 503
    assert ready.headers["content-type"] == "application/problem+json"
    assert int(ready.headers["retry-after"]) > 0


def test_a_draining_service_reports_that_it_is_unhealthy(leaving: TestClient) -> None:
    health = leaving.get("/health")
    assert health.status_code == 503
    assert health.json() == {"status": "unhealthy", "model_loaded": False, "device": "none"}


def test_a_draining_service_reports_no_model(leaving: TestClient) -> None:
    info = leaving.get("/model/info")
    assert info.status_code == 503
    assert info.headers["content-type"] == "application/problem+json"
    assert int(info.headers["retry-after"]) > 0


def test_a_draining_service_still_answers_requests(leaving: TestClient) -> None:
    assert leaving.post("/predict", json={"text": "good"}).status_code == 200


def test_the_shutdown_of_the_app_ends_readiness(project: Path) -> None:
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import service\n"
        "from starlette.testclient import TestClient\n"
        "client = TestClient(service.TextClassifier.to_asgi())\n"
        "states = [bool(client.app_state)] if hasattr(client, 'app_state') else [False]\n"
        "with client:\n"
        "    admission = client.app_state['connections'].admission\n"
        "    states.append(admission.is_ready)\n"
        "states.append(admission.is_ready)\n"
        "print(states)\n"
    )
    environment = {name: value for name, value in os.environ.items() if "CLASSIFIER_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[-2:] == ["[False, True, False]", ""], done.stderr


# /metrics


def series(client: TestClient) -> list[str]:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return [line.rpartition(" ")[0] for line in response.text.splitlines() if not line.startswith("#")]


def count(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)


def test_unknown_paths_and_methods_add_no_series(client: TestClient) -> None:
    client.get("/made-up")
    before = series(client)
    for number in range(50):
        client.get(f"/made-up/{number}")
        client.get(f"/predict/{number}?query={number}")
        client.get(f"/docs/static/{number}")
    assert series(client) == before
    assert 'classifier_requests_total{route="other",status_class="4xx"}' in before
    assert not [name for name in before if "made-up" in name]


def test_a_request_is_counted_by_its_route_and_status(client: TestClient) -> None:
    good = 'classifier_requests_total{route="/predict",status_class="2xx"}'
    wrong = 'classifier_requests_total{route="/predict",status_class="4xx"}'
    before = count(client, good), count(client, wrong)
    client.post("/predict", json={"text": "good"})
    client.post("/predict", json={"text": " "})
    assert (count(client, good), count(client, wrong)) == (before[0] + 1, before[1] + 1)


def test_only_routes_of_the_table_are_labels(client: TestClient) -> None:
    labelled = {match for name in series(client) for match in re.findall(r'route="([^"]*)"', name)}
    assert labelled <= {route.path for route in ROUTES} | {"other"}


def test_the_request_for_the_metrics_does_not_count_as_in_progress(client: TestClient) -> None:
    assert count(client, "classifier_requests_in_progress") == 0


# /docs


class Links(HTMLParser):
    """Collects the links of a page and the files that it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline_scripts = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        links = [value or "" for name, value in attrs if name in {"src", "href", "action", "srcset"}]
        self.found += links
        self.inline_scripts += tag == "script" and not links


def test_the_api_page_loads_nothing_from_another_host(client: TestClient) -> None:
    response = client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    links = Links(response.text)
    assert links.inline_scripts == 0
    assert links.found
    assert not [link for link in links.found if "//" in link]


def test_every_file_that_the_api_page_loads_exists(client: TestClient) -> None:
    for link in Links(client.get("/docs").text).found:
        if not link.startswith("data:"):
            assert client.get(f"/{link}").status_code == 200


def test_the_api_page_forbids_the_browser_to_load_from_other_hosts(client: TestClient) -> None:
    policy = client.get("/docs").headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert "script-src" not in directives
    assert not re.search(r"https?:|\*", policy)


def test_the_api_page_does_not_send_its_schema_to_a_validator(client: TestClient) -> None:
    assert "validatorUrl: null" in client.get("/docs/static/docs.js").text


# /openapi.json


def test_the_openapi_document_lists_exactly_the_routes(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES}


def test_each_operation_of_the_openapi_document_has_a_unique_name(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(ROUTES)


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.group == PREDICTIONS], ids=lambda route: route.path
)
def test_the_example_of_each_prediction_is_valid_and_answered_as_described(
    client: TestClient, document: dict[str, Any], route: Any
) -> None:
    body = document["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["example"]
    route.request.model_validate(body)
    response = client.post(route.path, json=body)
    assert response.status_code == 200
    TypeAdapter(route.answer).validate_python(response.json(), strict=True)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_the_errors_of_a_route_are_described_once_for_all_routes(
    document: dict[str, Any], route: Any
) -> None:
    responses = document["paths"][route.path][route.method.lower()]["responses"]
    assert responses["default"] == {"$ref": "#/components/responses/Error"}
    assert set(responses) == {"200", "default"} | ({"503"} if route is HEALTH else set())


def test_the_description_lists_every_error_that_a_client_can_see(document: dict[str, Any]) -> None:
    listed = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", document["info"]["description"], re.MULTILINE)
    everything = {
        error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, HttpError) and error is not HttpError
    }
    seen = everything - {ClientClosedRequest}
    assert sorted(listed) == sorted((str(e.status), e.title, inspect.getdoc(e)) for e in seen)
    assert [status for status, *_ in listed] == sorted(status for status, *_ in listed)


def test_the_routes_are_in_groups(document: dict[str, Any]) -> None:
    groups = [tag["name"] for tag in document["tags"]]
    assert groups == ["Predictions", "Model", "Service"]
    used = {operation["tags"][0] for item in document["paths"].values() for operation in item.values()}
    assert used == set(groups)
    assert document["paths"]["/predict"]["post"]["tags"] == ["Predictions"]


def test_the_limits_in_the_openapi_document_are_those_of_the_schema(document: dict[str, Any]) -> None:
    parts = {name: part["properties"] for name, part in document["components"]["schemas"].items()}
    for name in ("PredictRequest", "TopKRequest", "ThresholdsRequest"):
        assert parts[name]["text"]["maxLength"] == schema.MAX_TEXT_CHARS
        assert parts[name]["text"]["minLength"] == 1
    for name in ("BatchRequest", "ClassifyRequest"):
        texts = parts[name]["texts"]
        assert (texts["minItems"], texts["maxItems"]) == (1, schema.MAX_TEXTS)
        assert texts["items"]["maxLength"] == schema.MAX_TEXT_CHARS
    thresholds = parts["ThresholdsRequest"]["thresholds"]
    assert (thresholds["minItems"], thresholds["maxItems"]) == (1, schema.MAX_THRESHOLDS)
    assert thresholds["default"] == list(schema.DEFAULT_THRESHOLDS)
    assert (thresholds["items"]["minimum"], thresholds["items"]["maximum"]) == (0, 1)
    k = parts["TopKRequest"]["k"]
    assert (k["minimum"], k["default"]) == (1, schema.DEFAULT_TOP_K)
    assert "maximum" not in k
    top = parts["ExplainRequest"]["top"]
    assert (top["minimum"], top["maximum"]) == (1, schema.MAX_CONTRIBUTIONS)
    assert top["default"] == schema.DEFAULT_CONTRIBUTIONS


def test_the_openapi_document_lists_the_labels_of_the_model(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    explained = schemas["ExplainRequest"]["properties"]["label"]
    assert explained["anyOf"][0]["enum"] == ["negative", "positive"]
    assert schemas["FeedbackRequest"]["properties"]["label"]["enum"] == ["negative", "positive"]


def test_the_pattern_for_texts_matches_exactly_the_characters_that_are_not_white_space(
    document: dict[str, Any],
) -> None:
    pattern = re.compile(document["components"]["schemas"]["PredictRequest"]["properties"]["text"]["pattern"])
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [c for c in characters if bool(pattern.search(c)) != bool(c.strip())] == []


def test_unknown_fields_are_forbidden_in_the_openapi_document(document: dict[str, Any]) -> None:
    for route in ROUTES:
        if route.request is not None:
            assert document["components"]["schemas"][route.request.__name__]["additionalProperties"] is False


def test_only_k_may_be_in_the_query(document: dict[str, Any]) -> None:
    given = {
        (path, parameter["name"], parameter["in"])
        for path, item in document["paths"].items()
        for parameter in item.get("post", {}).get("parameters", [])
    }
    assert given == {("/predict/top-k", "k", "query")}


def test_every_reference_in_the_openapi_document_resolves(
    client: TestClient, document: dict[str, Any]
) -> None:
    references = set(re.findall(r'"\$ref":"([^"]*)"', client.get("/openapi.json").text))
    parts = document["components"]
    assert references == {f"#/components/{kind}/{name}" for kind in parts for name in parts[kind]}
