"""Under constant load, nothing that operators do to the service loses a request."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest
from cluster import (
    TEXTS,
    UnderLoad,
    config_changed,
    in_namespace,
    kubectl,
    make,
    objects,
    ready_pods,
    rollout_status,
    wait_until,
)

from k8s.environment.values import ImageReference, ImageVersion
from k8s.image_labels import read_labels


def test_an_update_to_another_model_and_its_rollback_lose_no_request(
    under_load: UnderLoad, images: Mapping[str, str]
) -> None:
    with under_load() as load:
        make("deploy", IMAGE=images["second"])
    assert load.failures == []
    assert min(load.by_model) > 0
    with under_load() as load:
        make("rollback")
    assert load.failures == []
    assert min(load.by_model) > 0
    assert_deployment_names(images["first"], not_=images["second"])


def assert_deployment_names(image: str, not_: str) -> None:
    """Check that the Deployment says everywhere that it runs `image`."""
    (deployment,) = objects("deployments")
    # What was applied last, which the next `kubectl apply` compares. It says nothing about what runs.
    del deployment["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    deployment["metadata"].pop("managedFields", None)
    said = json.dumps(deployment)
    for name in names_of(image):
        assert name in said
    for name in names_of(not_):
        assert name not in said


def names_of(image: str) -> list[str]:
    """The digest of an image, and the version and the digest of its model."""
    repository, _, digest = image.partition("@")
    labels = read_labels(ImageReference(repository, ImageVersion(None, digest))).values
    model = labels["text-classifier.model"].partition(":")[2]
    return [digest, model, labels["text-classifier.model-digest"]]


@pytest.mark.parametrize(("end", "stays"), [("abort", "first"), ("promote", "second")])
def test_a_canary_receives_a_share_of_the_requests_until_it_is_deleted_or_promoted(
    under_load: UnderLoad, images: Mapping[str, str], end: str, stays: str
) -> None:
    version = images["second"].partition("@")[2]
    with under_load() as load:
        make("canary", IMAGE=images["first"], VERSION=version, WEIGHT="30")
        time.sleep(8)
        seen, kept = list(load.by_model), list(load.by_model_kept)
        make(end, IMAGE=images[stays])
    assert load.failures == []
    assert 0 < seen[1] < seen[0]
    assert 0 < kept[1] < kept[0]  # A connection ends, and the next one may reach the canary.
    with under_load() as load:
        pass
    assert load.failures == []
    assert load.by_model[stays == "first"] == 0
    assert objects("deployments", "--selector", "track=canary") == []


def test_a_deleted_pod_loses_no_request(under_load: UnderLoad) -> None:
    pod = ready_pods()[0]
    with under_load() as load:
        in_namespace("delete", "pod", pod)
        wait_until(lambda: len(ready_pods()) >= 2 and pod not in ready_pods(), "another pod is ready")
    assert load.failures == []


def test_a_changed_config_is_rolled_out_and_loses_no_request(
    under_load: UnderLoad, images: Mapping[str, str], rendered: Callable[[str], Path], url: str
) -> None:
    folder = rendered(images["first"])
    with under_load() as load:
        config_changed(folder, "confidence_threshold: 0.5", "confidence_threshold: 1.0")
        kubectl("apply", "--kustomize", str(folder))
        rollout_status()
    assert load.failures == []
    answer = httpx.post(f"{url}/predict", json={"text": TEXTS[0]}, timeout=30).json()
    assert not answer["is_confident"]


def test_a_drained_node_keeps_a_pod_until_another_one_is_ready_on_another_node(under_load: UnderLoad) -> None:
    """If there is no other node, the budget keeps the last pod."""
    nodes = json.loads(kubectl("get", "nodes", "--output", "json"))["items"]
    node = objects("pods")[0]["spec"]["nodeName"]
    with under_load() as load:
        try:
            output = kubectl(
                "drain",
                node,
                "--ignore-daemonsets",
                "--delete-emptydir-data",
                "--timeout",
                "25s",
                "--force",
                "--pod-selector",
                "app.kubernetes.io/name=text-classifier",
                check=False,
            )
            if len(nodes) == 1:
                assert "disruption budget" in output
                assert ready_pods()
        finally:
            kubectl("uncordon", node)
        wait_until(lambda: len(ready_pods()) >= 2, "two pods are ready again")
    assert load.failures == []
