"""What an operator is told when a deployment cannot work, and what the commands leave behind."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import (
    APPLICATION,
    DEPLOYMENT,
    ENVIRONMENT,
    FOR_TESTS,
    NAMESPACE,
    RENDERED,
    environments,
    in_namespace,
    kubectl,
    make,
    objects,
    ready_pods,
    wait_until,
)

from k8s import preflight
from k8s.environment.loading import ENVIRONMENTS_PATH, load_environment
from k8s.errors import DeploymentError

QUICK = {
    "probes": {"startup": {"failures": 5}, "readiness": {"period_seconds": 2}},
    "rollout": {"min_ready_seconds": 2, "progress_deadline_seconds": 15},
}
"""A rollout that fails in seconds."""


def given(path: Path, **overrides: Any) -> str:
    """A file in which the environment of these tests has other sections."""
    return str(environments(path / "mine.yaml", ENVIRONMENT, FOR_TESTS | overrides))


# The first deployment


@pytest.mark.usefixtures("namespace")
def test_a_first_deployment_ends_with_the_smallest_number_of_pods(images: Mapping[str, str]) -> None:
    in_namespace("delete", DEPLOYMENT, "--ignore-not-found")
    make("deploy", IMAGE=images["first"])
    assert len(ready_pods()) >= 2


# Pods that do not start


def memory(amount: str) -> dict[str, Any]:
    return {"resources": {kind: {"cpu": "250m", "memory": amount} for kind in ("requests", "limits")}}


def test_rollouts_that_fail_say_why_and_a_rollback_returns_to_the_version_that_serves(
    deployed: None,  # noqa: ARG001
    images: Mapping[str, str],
    tmp_path: Path,
) -> None:
    old = ready_pods()
    for amount, explanations in (
        ("900Gi", ["not scheduled", "Unschedulable", "Insufficient memory"]),
        ("40Mi", ["server ended", "OOMKilled", "exit code 137"]),
    ):
        described = given(tmp_path, **QUICK, **memory(amount))
        output = make("deploy", check=False, IMAGE=images["first"], ENVIRONMENTS=described)
        table = output[output.index("POD ") :]
        assert [words for words in explanations if words not in table] == []
        assert "is not rolled out" in output
        assert ready_pods() == old
        states = [line.split()[:2] for line in table.splitlines()]
        assert all([pod, "ready"] in states for pod in old)
    make("rollback")
    assert ready_pods() == old


# What is looked up first


def test_production_is_refused_as_a_whole_by_a_cluster_without_its_kinds() -> None:
    output = make("deploy", check=False, ENV="production", ENVIRONMENTS=str(ENVIRONMENTS_PATH))
    assert "text-classifier-production cannot be deployed; nothing was applied:" in output
    kinds = kubectl("api-resources", "--output", "name").split()
    sentences = {
        "httproutes.gateway.networking.k8s.io": "no HTTPRoute (gateway.networking.k8s.io/v1); ",
        "podmonitors.monitoring.coreos.com": "no PodMonitor (monitoring.coreos.com/v1); ",
        "prometheusrules.monitoring.coreos.com": "no PrometheusRule (monitoring.coreos.com/v1); ",
    }
    for kind, sentence in sentences.items():
        assert (f"- the cluster has {sentence}" in output) == (kind not in kinds)
    assert "- the image is 'registry.example.com/text-classifier@sha256:0000" in output
    assert "- there is no Gateway 'public' in namespace 'gateway' (gateway); " in output
    assert kubectl("get", "namespace", f"{APPLICATION}-production", "--ignore-not-found") == ""


def test_a_service_of_somebody_else_is_refused_and_that_of_an_earlier_deployment_is_not() -> None:
    namespace = f"{APPLICATION}-staging"

    def refusal() -> str:
        """The sentences about staging, whose Secret is missing."""
        with pytest.raises(DeploymentError, match="there is no Secret 'text-classifier-tls'") as refused:
            preflight.check(load_environment("staging"))
        return str(refused.value)

    kubectl("create", "namespace", namespace)
    try:
        kubectl("create", "service", "clusterip", APPLICATION, "--tcp=80:80", "--namespace", namespace)
        sentence = f"there is another Service {APPLICATION!r} in namespace {namespace!r}"
        assert sentence in refusal()
        kubectl("delete", "service", APPLICATION, "--namespace", namespace)
        kubectl("apply", "--filename", str(RENDERED / "staging" / "service.yaml"))
        assert sentence not in refusal()
    finally:
        kubectl("delete", "namespace", namespace)


INGRESS_CLASS = "text-classifier-test"


@pytest.fixture
def ingress() -> dict[str, Any]:
    """An Ingress whose controller no cluster has."""
    staging = yaml.safe_load(ENVIRONMENTS_PATH.read_text(encoding="utf-8"))["staging"]
    return staging["ingress"] | {"class_name": INGRESS_CLASS, "sources": {"namespace": "default"}}


@pytest.fixture
def ingress_class() -> Iterator[None]:
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": INGRESS_CLASS},
        "spec": {"controller": "example.com/none"},
    }
    kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))
    yield
    kubectl("delete", "ingressclass", INGRESS_CLASS)


def put_certificate(namespace: str, ingress: Mapping[str, Any]) -> None:
    name = ingress["tls_secret"]
    kubectl("create", "secret", "generic", name, "--namespace", namespace, "--from-literal=tls.crt=x")


def test_staging_is_refused_until_its_ingress_has_a_class_and_a_certificate(
    ingress: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    described = environments(tmp_path / "mine.yaml", "staging", {"ingress": ingress})
    namespace = f"{APPLICATION}-staging"
    output = make("deploy", check=False, ENV="staging", ENVIRONMENTS=str(described))
    assert f"there is no IngressClass {INGRESS_CLASS!r} (ingress.class_name)" in output
    assert f"there is no Secret 'text-classifier-tls' in namespace {namespace!r}" in output
    assert kubectl("get", "namespace", namespace, "--ignore-not-found") == ""

    request.getfixturevalue("ingress_class")
    kubectl("create", "namespace", namespace)
    try:
        with pytest.raises(DeploymentError, match="there is no Secret 'text-classifier-tls'") as refused:
            preflight.check(load_environment("staging", path=described))
        assert "IngressClass" not in str(refused.value)
        put_certificate(namespace, ingress)
        preflight.check(load_environment("staging", path=described))
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


def test_what_the_user_may_not_read_is_said_and_not_refused(
    deployed: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The user is the pods' own account, which may read nothing."""
    token = in_namespace("create", "token", APPLICATION).strip()
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--output", "json"))
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(path))
    preflight.check(load_environment("staging"))
    said = capfd.readouterr().err
    assert "not checked: IngressClass 'traefik' (ingress.class_name): Error from server (Forbidden): " in said
    assert f"not checked: Secret 'text-classifier-tls' in namespace '{APPLICATION}-staging'" in said


# What a deployment leaves behind


def config_maps() -> set[str]:
    labels = "app.kubernetes.io/name=text-classifier"
    return {one["metadata"]["name"] for one in objects("configmaps", "--selector", labels)}


def config_map_of_pods() -> str:
    (deployment,) = objects("deployments")
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    return next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)


@pytest.mark.usefixtures("deployed", "ingress_class")
def test_an_entry_point_that_is_taken_out_of_the_environment_is_deleted(
    images: Mapping[str, str], ingress: dict[str, Any], tmp_path: Path
) -> None:
    put_certificate(NAMESPACE, ingress)
    in_namespace("create", "configmap", "of-somebody-else")
    try:
        make("deploy", IMAGE=images["first"], ENVIRONMENTS=given(tmp_path, ingress=ingress))
        assert len(objects("ingresses")) == 1
        make("deploy", IMAGE=images["first"])
        assert objects("ingresses") == []
        assert "of-somebody-else" in in_namespace("get", "configmaps", "--output", "name")
        assert len(objects("services")) == 1
    finally:
        in_namespace("delete", f"secret/{ingress['tls_secret']}", "configmap/of-somebody-else")


def test_config_maps_stay_exactly_as_long_as_a_roll_back_needs_them(
    deployed: None,  # noqa: ARG001
    images: Mapping[str, str],
    tmp_path: Path,
) -> None:
    used = [config_map_of_pods()]

    def deploy(threshold: float) -> None:
        config = {"inference": {"confidence_threshold": threshold}, "api": {"lame_duck_seconds": 1.0}}
        rollout = {"min_ready_seconds": 1, "progress_deadline_seconds": 40, "revisions": 1}
        described = given(tmp_path, config=config, rollout=rollout, shutdown={"pre_stop_seconds": 1})
        make("deploy", IMAGE=images["first"], ENVIRONMENTS=described)

    for threshold in (0.61, 0.62):
        deploy(threshold)
        used.append(config_map_of_pods())
    assert len(set(used)) == 3
    wait_until(lambda: len(objects("replicasets.apps")) == 2, "only one revision is kept")
    deploy(0.62)
    assert config_maps() == set(used[1:])
    make("rollback")
    assert config_map_of_pods() == used[1]
    assert len(ready_pods()) >= 2
