"""No path that an entry point routes leads to what only the cluster may see, however a proxy writes it."""

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
import yaml
from asking import get
from path_rules import Rules, routes, rules_of
from starlette.testclient import TestClient

from k8s.environment.loading import load_environment
from k8s.rendering import render
from serving.routes import BENTOML_SCHEMA_PATH, METRICS

TRICKS = [
    "{path}",
    "{path}/",
    "/{path}",
    "/docs/..{path}",
    "/docs/../..{path}",
    "/docs/static/../..{path}",
    "/docs/swagger/../..{path}",
    "/docs/.{path}",
    "/docs/%2e%2e{path}",
    "/docs/%2e%2e%2f{name}",
    "/docs%2f..{path}",
    "/docs/..%2f{name}",
    "/docs/..%5c{name}",
    "/docs//..{path}",
    "/docs/..;{path}",
    "/docs/;/..{path}",
    "/docs{path}",
    "/predict/..{path}",
    "/predict%2f..{path}",
    "/{name}%00",
    "/{upper}",
]


def views(path: str) -> Iterator[str]:
    """The path as proxies see it when they match it and when they send it on."""
    yield path
    for decoded in (path, unquote(path)):
        merged = re.sub("/+", "/", decoded)
        yield decoded
        yield merged
        yield posixpath.normpath(merged)


@pytest.fixture(scope="module", params=["production", "staging"])
def rules(request: pytest.FixtureRequest) -> Rules:
    """The rules of an environment that routes as much as is possible without BentoML's clients."""
    kind = {"production": "gateway", "staging": "ingress"}[request.param]
    files = render(load_environment(request.param, {kind: {"docs": True}}), "text-classifier manifests")
    return rules_of({name.removesuffix(".yaml"): yaml.safe_load(text) for name, text in files.items()})


def is_private(answer: str) -> bool:
    """Whether the answer is that of the metrics or of BentoML's schema."""
    return "classifier_requests_in_progress" in answer or '"routes"' in answer


@pytest.mark.parametrize("path", [METRICS.path, BENTOML_SCHEMA_PATH])
def test_the_private_answers_are_recognized(client: TestClient, path: str) -> None:
    assert is_private(get(client, path))


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("private", [METRICS.path, BENTOML_SCHEMA_PATH])
def test_no_routed_path_is_answered_with_the_metrics_or_the_schema(
    client: TestClient, rules: Rules, trick: str, private: str
) -> None:
    path = trick.format(path=private, name=private[1:], upper=private[1:].upper())
    for seen in views(path):
        if routes(rules, seen):
            # A proxy sends the path on as it received it, or as it matched it.
            assert not is_private(get(client, path))
            assert not is_private(get(client, seen))


def test_some_tricks_are_routed_so_that_the_service_itself_must_refuse_them(rules: Rules) -> None:
    assert routes(rules, "/docs/../metrics")
