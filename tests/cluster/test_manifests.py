"""The committed manifests: what linters say, and the schemas of the cluster's own API server."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import ROOT, kubectl, tool

BEST_GRADE = 10


def test_kube_score_has_no_complaints(manifests: list[Path]) -> None:
    command = [tool("kube-score"), "score", "--output-format", "json", "--kubernetes-version", "v1.33"]
    done = subprocess.run([*command, *manifests], capture_output=True, text=True, check=False)
    complaints = {
        check["check"]["id"]
        for one in json.loads(done.stdout)
        for check in one["checks"]
        if not check["skipped"] and check["grade"] < BEST_GRADE
    }
    # kube-score does not know that KEDA makes an autoscaler from a ScaledObject.
    by_keda = any(path.stem == "scaledobject" for path in manifests)
    assert complaints == ({"deployment-replicas"} if by_keda else set())


@pytest.fixture(scope="module")
def schemas(operators: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """JSON schemas of all kinds that the API server knows, made from its own OpenAPI document."""
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
    """Everything that a schema refers to, directly or not."""
    seen = set() if seen is None else seen
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        references(value, definitions, seen)
    if isinstance(node, dict) and isinstance(name := node.get("$ref"), str) and name not in seen:
        seen.add(name)
        references(definitions[name.rpartition("/")[2]], definitions, seen)
    return seen


def test_every_manifest_conforms_to_the_schemas_of_the_api_server(
    manifests: list[Path], schemas: Path
) -> None:
    location = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    command = [tool("kubeconform"), "-strict", "-output", "json", "-schema-location", location]
    done = subprocess.run([*command, *manifests], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["resources"] == []


@pytest.mark.usefixtures("spaces")
def test_the_overlay_leaves_nothing_behind_of_the_image_and_the_controller_that_it_replaces() -> None:
    text = kubectl("kustomize", str(ROOT / "k8s" / "overlay"))
    assert not [old for old in ("registry.example.com", "0.1.0", "traefik") if old in text]
    found = {one["kind"]: one for one in yaml.safe_load_all(text)}
    deployment = found["Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    image, comma, rest = deployment["metadata"]["annotations"]["kubernetes.io/change-cause"].partition(",")
    assert (
        image == container["image"] == f"registry.internal.example/search/text-classifier@sha256:{'1' * 64}"
    )
    assert comma + rest == f", config {deployment_config(deployment)}"
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert found["Ingress"]["spec"]["ingressClassName"] == "nginx"
    assert [rule["from"] for rule in found["NetworkPolicy"]["spec"]["ingress"]] == [
        [{"podSelector": {}}],
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}],
    ]
    kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", "-", stdin=text)


def deployment_config(deployment: Any) -> str:
    """The end of the name of the ConfigMap that the pods mount."""
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    (name,) = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
    return name.rpartition("-")[2]


def test_actionlint_has_no_complaints_about_the_workflows() -> None:
    done = subprocess.run([tool("actionlint")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
