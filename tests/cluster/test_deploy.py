"""The rendered environment on a cluster: it is accepted, becomes ready, and answers every kind of call."""

import json
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from cluster import (
    ASK_PREDICT,
    DEPLOYMENT,
    ENVIRONMENT,
    NAMESPACE,
    TEXTS,
    Models,
    deploy,
    environments,
    forwarded,
    in_namespace,
    kubectl,
    make,
    objects,
    ready_pods,
)


@pytest.fixture(scope="module")
def deployed(namespace: None, images: Mapping[str, str]) -> None:  # noqa: ARG001
    """One deployment of the first image, which these tests leave as it is."""
    deploy(images["first"])


@pytest.mark.usefixtures("operators", "spaces")
def test_the_api_server_accepts_every_manifest_strictly(manifests: list[Path]) -> None:
    for path in manifests:
        strictly = ("--dry-run=server", "--validate=strict", "--warnings-as-errors")
        kubectl("apply", *strictly, "--filename", str(path))


def test_it_is_ready_under_pod_security_restricted(deployed: None) -> None:  # noqa: ARG001
    space = json.loads(kubectl("get", "namespace", NAMESPACE, "--output", "json"))
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert len(ready_pods()) >= 2


def test_a_call_through_the_node_port_gets_the_right_answer(url: str, models: Models) -> None:
    for text in TEXTS:
        answer = httpx.post(f"{url}/predict", json={"text": text}, timeout=30).json()
        assert answer["probabilities"] == pytest.approx(models[0][text], abs=1e-6)


def test_a_call_from_within_the_cluster_gets_the_right_answer(deployed: None, models: Models) -> None:  # noqa: ARG001
    (port,) = [one["spec"]["ports"][0]["port"] for one in objects("services")]
    url = f"http://text-classifier.{NAMESPACE}.svc:{port}"
    ask = ("python3", "-c", ASK_PREDICT, url, TEXTS[0])
    answer = json.loads(in_namespace("exec", ready_pods()[0], "--", *ask))
    assert answer["probabilities"] == pytest.approx(models[0][TEXTS[0]], abs=1e-6)


def test_a_call_through_a_forwarded_port_gets_the_right_answer(deployed: None, models: Models) -> None:  # noqa: ARG001
    with forwarded("text-classifier") as url:
        answer = httpx.post(f"{url}/predict", json={"text": TEXTS[1]}, timeout=30).json()
        assert answer["probabilities"] == pytest.approx(models[0][TEXTS[1]], abs=1e-6)


def test_the_container_can_only_write_to_its_temporary_folder(deployed: None) -> None:  # noqa: ARG001
    write = "import pathlib, sys; pathlib.Path(sys.argv[1], 'x').write_text('x')"
    pod = ready_pods()[0]
    in_namespace("exec", pod, "--", "python3", "-c", write, "/tmp")  # noqa: S108
    for folder in ("/", "/home/bentoml/bento", "/app", "/etc"):
        assert "Read-only file system" in in_namespace(
            "exec", pod, "--", "python3", "-c", write, folder, check=False
        )


def test_it_has_no_token_for_the_api_server(deployed: None) -> None:  # noqa: ARG001
    output = in_namespace("exec", ready_pods()[0], "--", "ls", "/var/run/secrets", check=False)
    assert "No such file" in output


def test_the_log_is_json_and_names_the_model_that_answers(deployed: None) -> None:  # noqa: ARG001
    lines = in_namespace("logs", DEPLOYMENT).splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert any(event["event"] == "model_loaded" and event["name"] == "imdb-sentiment" for event in events)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"IMAGE": ""}, "IMAGE is not given"),
        ({"BENTO": "text-classifier:1"}, "IMAGE is not given"),
        ({"IMAGE": "a:1", "BENTO": "text-classifier"}, "has no version"),
        ({"IMAGE": "a:1", "ENVIRONMENTS": "mine.yaml"}, "where rollback and the other commands look"),
        ({"IMAGE": "a:1", "ENV": "lokal"}, "the nearest is 'local'"),
    ],
    ids=["no image", "only a Bento", "any Bento", "another namespace", "no environment"],
)
def test_an_invalid_variable_changes_nothing(
    variables: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    if "ENVIRONMENTS" in variables:
        mine = environments(tmp_path / variables["ENVIRONMENTS"], ENVIRONMENT, {"namespace": "mine"})
        variables = variables | {"ENVIRONMENTS": str(mine)}
    before = kubectl("get", "deployments", "--all-namespaces", "--output", "yaml")
    assert sentence in make("deploy", check=False, **variables)
    assert kubectl("get", "deployments", "--all-namespaces", "--output", "yaml") == before
