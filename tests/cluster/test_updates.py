"""Under constant load, what operators do to the service loses no request."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
from cluster import (
    DEPLOYMENT,
    TEXTS,
    UnderLoad,
    config_changed,
    in_namespace,
    kubectl,
    objects,
    ready_pods,
    render,
    rollout_status,
    wait_until,
)


def test_an_update_to_another_model_and_the_way_back_lose_no_request(
    under_load: UnderLoad, images: Mapping[str, str], apply: Callable[[str], None]
) -> None:
    with under_load() as load:
        apply(images["second"])
        rollout_status()
    assert load.failures == []
    assert min(load.by_model) > 0
    with under_load() as load:
        in_namespace("rollout", "undo", DEPLOYMENT)
        rollout_status()
    assert load.failures == []
    assert min(load.by_model) > 0


def test_a_canary_gets_a_part_of_the_requests_until_it_goes(
    under_load: UnderLoad, images: Mapping[str, str], apply: Callable[[str], None], tmp_path: Path
) -> None:
    version = images["second"].rpartition(":")[2]
    folder = render(tmp_path / "local", images["first"], "--canary", version, "--weight", "30")
    with under_load() as load:
        kubectl("apply", "--kustomize", str(folder))
        in_namespace("rollout", "status", f"{DEPLOYMENT}-canary", "--timeout", "120s")
        time.sleep(5)
        apply(images["first"])
        in_namespace("delete", "deployment,service", "--selector", "track=canary")
    assert load.failures == []
    assert 0 < load.by_model[1] < load.by_model[0]
    with under_load() as load:
        pass
    assert load.by_model[1] == 0


def test_a_deleted_pod_loses_no_request(under_load: UnderLoad) -> None:
    pod = ready_pods()[0]
    with under_load() as load:
        in_namespace("delete", "pod", pod)
        wait_until(lambda: len(ready_pods()) >= 2 and pod not in ready_pods(), "another pod is ready")
    assert load.failures == []


def test_a_changed_config_is_rolled_out_and_loses_no_request(
    under_load: UnderLoad, images: Mapping[str, str], tmp_path: Path, url: str
) -> None:
    folder = render(tmp_path / "local", images["first"])
    with under_load() as load:
        config_changed(folder, "confidence_threshold: 0.5", "confidence_threshold: 1.0")
        kubectl("apply", "--kustomize", str(folder))
        rollout_status()
    assert load.failures == []
    answer = httpx.post(f"{url}/predict", json={"text": TEXTS[0]}, timeout=30).json()
    assert not answer["is_confident"]


def test_a_drained_node_keeps_a_pod_until_another_is_ready_elsewhere(under_load: UnderLoad) -> None:
    """Where there is no other node, the budget holds the last pod back."""
    nodes = json.loads(kubectl("get", "nodes", "--output", "json"))["items"]
    node = objects("pods")[0]["spec"]["nodeName"]
    with under_load() as load:
        try:
            said = kubectl(
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
                assert "disruption budget" in said
                assert ready_pods()
        finally:
            kubectl("uncordon", node)
        wait_until(lambda: len(ready_pods()) >= 2, "two pods are ready again")
    assert load.failures == []
