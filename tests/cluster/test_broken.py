"""A version that cannot serve never receives requests: the old one continues, and the log says why."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cluster import (
    DEPLOYMENT,
    UnderLoad,
    config_changed,
    in_namespace,
    kubectl,
    log,
    make,
    ready_pods,
    remaining_pods,
    rollout_status,
    wait_until,
)

BOUND_SECONDS = 120
"""Within this time `rollout status` must fail, by the deployment's own deadline."""


@pytest.fixture(autouse=True)
def undone(deployed: None):  # noqa: ARG001
    """Roll back whatever the test rolls out."""
    yield
    in_namespace("rollout", "undo", DEPLOYMENT)
    rollout_status()


def rollout_fails(old: list[str]) -> None:
    """Check that the rollout fails in bounded time, and that the old pods stay ready."""
    output = in_namespace("rollout", "status", DEPLOYMENT, "--timeout", f"{BOUND_SECONDS}s", check=False)
    assert "exceeded its progress deadline" in output
    assert ready_pods() == old


def log_of_new_pod(old: list[str]) -> str:
    """The log of a pod of the new version, which says why the service did not start.

    The pods are listed again at each look, because a pod that an earlier test left can end in between.
    """

    def found() -> str | None:
        pods = [name for name in remaining_pods() if name not in old]
        logs = (log(pod, previous=previous) for pod in pods for previous in (False, True))
        return next((text for text in logs if any(map(says_why, text.splitlines()))), None)

    return wait_until(found, "a log of a new pod says why the service did not start")


def says_why(line: str) -> bool:
    """Whether a line says why the service did not start; it is JSON once the settings are read."""
    return line.startswith("error:") or '"start_failed"' in line


def sentence_in(text: str) -> str:
    (sentence,) = filter(says_why, text.splitlines())
    return sentence


def test_a_damaged_artifact_is_never_served(
    under_load: UnderLoad,
    images: Mapping[str, str],
    rendered: Callable[[str], Path],
) -> None:
    old = ready_pods()
    with under_load() as load:
        kubectl("apply", "--kustomize", str(rendered(images["damaged"])))
        output = log_of_new_pod(old)
        rollout_fails(old)
    assert "is not the file that the artifact was made with" in sentence_in(output)
    assert "Traceback" not in output
    assert load.failures == []
    assert load.by_model[1] == 0


def test_an_image_that_does_not_exist_receives_no_requests(
    under_load: UnderLoad, images: Mapping[str, str]
) -> None:
    old = ready_pods()
    nowhere = images["first"].partition("@")[0] + f"@sha256:{'1' * 64}"
    with under_load() as load:
        output = make("deploy", IMAGE=nowhere, check=False)
    assert "exceeded its progress deadline" in output
    assert "nothing was compared" in output
    assert "ImagePull" in output
    assert ready_pods() == old
    assert load.failures == []


def test_a_version_with_a_misspelt_setting_receives_no_requests_and_names_it_in_the_log(
    under_load: UnderLoad,
    images: Mapping[str, str],
    rendered: Callable[[str], Path],
) -> None:
    old = ready_pods()
    folder = config_changed(rendered(images["first"]), "confidence_threshold:", "confidence_treshold:")
    with under_load() as load:
        kubectl("apply", "--kustomize", str(folder))
        output = log_of_new_pod(old)
        rollout_fails(old)
    assert "'confidence_treshold'; the nearest is 'confidence_threshold'" in sentence_in(output)
    assert load.failures == []
