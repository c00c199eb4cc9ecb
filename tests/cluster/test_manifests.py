"""The committed manifests before linters, and before the schemas that the cluster's own API server has."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cluster import ENVIRONMENTS, ROOT, kubectl, manifest_files

TOOLS = ROOT / ".tools"
OF_OPERATORS = "HTTPRoute,PodMonitor,ScaledObject,Kustomization"
"""Kinds that an API server has only where somebody installed them."""


def tool(name: str) -> str:
    """`make cluster-test` installs it; raises where it is missing."""
    path = TOOLS / name
    if not path.exists():
        pytest.fail(f"{path} is missing; `make .tools/{name}` installs it")
    return str(path)


def score(environment: str) -> list[Any]:
    """What kube-score thinks of each object: its checks with a grade from 1, critical, to 10."""
    command = [tool("kube-score"), "score", "--output-format", "json", "--kubernetes-version", "v1.33"]
    done = subprocess.run(
        [*command, *manifest_files(environment)], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout)


def complaints(environment: str) -> set[str]:
    return {
        check["check"]["id"]
        for one in score(environment)
        for check in one["checks"]
        if not check["skipped"] and check["grade"] < 10
    }


@pytest.mark.parametrize("environment", [name for name in ENVIRONMENTS if name != "local"])
def test_kube_score_has_nothing_to_say(environment: str) -> None:
    assert complaints(environment) == set()


def test_of_the_local_environment_kube_score_says_that_it_has_no_registry_and_a_port_on_the_node() -> None:
    assert complaints("local") == {"container-image-pull-policy", "service-type"}


@pytest.fixture(scope="module")
def schemas(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """JSON schemas of all kinds that the API server knows, made of its own OpenAPI document."""
    folder = tmp_path_factory.mktemp("schemas")
    definitions = json.loads(kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    for name, one in definitions.items():
        if "properties" in one:
            one.setdefault("additionalProperties", False)
        if name.endswith((".Quantity", ".IntOrString")):
            one.pop("type", None)
            one["type"] = ["string", "number"]
    for one in definitions.values():
        for kind in one.get("x-kubernetes-group-version-kind", []):
            group = kind["group"].partition(".")[0]
            stem = "-".join(filter(None, [kind["kind"], group, kind["version"]])).lower()
            found = {name.rpartition("/")[2] for name in references(one, definitions)}
            schema = one | {"definitions": {name: definitions[name] for name in found}}
            (folder / f"{stem}.json").write_text(json.dumps(schema), encoding="utf-8")
    return folder


def references(node: Any, definitions: Any, seen: set[str] | None = None) -> set[str]:
    """All that a schema refers to, and what that refers to."""
    seen = set() if seen is None else seen
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        references(value, definitions, seen)
    if isinstance(node, dict) and isinstance(name := node.get("$ref"), str) and name not in seen:
        seen.add(name)
        references(definitions[name.rpartition("/")[2]], definitions, seen)
    return seen


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_manifest_keeps_the_schemas_of_the_api_server(environment: str, schemas: Path) -> None:
    location = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    command = [
        tool("kubeconform"),
        "-strict",
        "-output",
        "json",
        "-schema-location",
        location,
        "-skip",
        OF_OPERATORS,
    ]
    done = subprocess.run(
        [*command, *manifest_files(environment)], capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout)["resources"] == []


def test_the_workflows_are_what_actionlint_wants() -> None:
    done = subprocess.run([tool("actionlint")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
