"""What an entry point routes: the API, what a setting asks for, and nothing else."""

from typing import Any

import pytest
import yaml
from path_rules import Rules, routes, rules_of

from k8s.environment.loading import load_environment
from k8s.rendering import render
from serving.routes import BENTOML_PATHS, ROUTES

API = {
    "/",
    "/classify",
    "/health",
    "/feedback",
    "/model/card",
    "/model/info",
    "/model/drift",
    "/predict",
    "/predict/batch",
    "/predict/thresholds",
    "/predict/explain",
    "/predict/top-k",
}
PAGE = {"/docs", "/openapi.json"}
FOR_BENTOML_CLIENTS = {"/readyz", "/schema.json"}
NEVER = {"/livez", "/metrics", "/healthz"}


def rules(docs: bool, bentoml_clients: bool, kind: str) -> Rules:
    name = {"ingress": "staging", "gateway": "production"}[kind]
    section: dict[str, Any] = {"docs": docs, "bentoml_clients": bentoml_clients}
    files = render(load_environment(name, {kind: section}), "text-classifier manifests")
    return rules_of({name.removesuffix(".yaml"): yaml.safe_load(text) for name, text in files.items()})


@pytest.mark.parametrize("kind", ["ingress", "gateway"])
@pytest.mark.parametrize("docs", [False, True])
@pytest.mark.parametrize("bentoml_clients", [False, True])
def test_every_path_of_the_service_is_routed_only_if_clients_need_it(kind, docs, bentoml_clients):
    paths = {route.path for route in ROUTES} | BENTOML_PATHS
    expected = API | (PAGE if docs else set()) | (FOR_BENTOML_CLIENTS if bentoml_clients else set())
    asked = rules(docs, bentoml_clients, kind)
    assert {path for path in paths if routes(asked, path)} == expected
    assert paths == API | PAGE | FOR_BENTOML_CLIENTS | NEVER


@pytest.mark.parametrize("kind", ["ingress", "gateway"])
@pytest.mark.parametrize("path", ["/docs/static/docs.js", "/docs/swagger/swagger-ui.css", "/docs/"])
def test_the_files_of_the_page_are_routed_with_it(kind, path):
    assert routes(rules(True, False, kind), path)
    assert not routes(rules(False, False, kind), path)


@pytest.mark.parametrize("kind", ["ingress", "gateway"])
@pytest.mark.parametrize("private", sorted(NEVER | {"/schema.json"}))
def test_no_spelling_of_a_private_path_is_routed(kind, private):
    everything = rules(True, False, kind)
    spellings = {
        private,
        private.upper(),
        private.title(),
        f"{private}/",
        f"/{private}",
        f"{private}/x",
        f"{private};x",
        f"/.{private}",
        f"/predict/..{private}",
        f"/%{ord(private[1]):02x}{private[2:]}",
        f"/docs{private[1:]}",
        private[1:],
    }
    assert not {spelling for spelling in spellings if routes(everything, spelling)}


@pytest.mark.parametrize("name", ["production", "staging"])
def test_only_staging_shows_the_page_and_nothing_is_open_for_bentomls_clients(name):
    environment = load_environment(name)
    (entry_point,) = environment.entry_points.values()
    assert (entry_point.docs, entry_point.bentoml_clients) == (name == "staging", False)
