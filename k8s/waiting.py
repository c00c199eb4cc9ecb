"""Waiting until a Deployment runs what was asked for, and saying why if it does not."""

import time
from collections.abc import Iterator
from typing import Any

from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import Event, Pod

from k8s import kubectl
from k8s.errors import DeploymentError, UnknownKind
from k8s.objects.autoscaling import ScaledObject
from k8s.objects.labels import APPLICATION, CANARY, UI
from k8s.pod_states import describe, table

ROLLOUT_TIMEOUT = "5m"
AUTOSCALER_SECONDS = 60
"""Longest wait for an autoscaler to act. Kubernetes' own acts every 15 seconds, KEDA every 30."""
POLL_SECONDS = 1


def namespace_of(env: str) -> str:
    """The namespace of an environment, which every command finds by the environment's name alone."""
    return f"{APPLICATION}-{env}"


def wait_for_rollout(env: str, deployment: str = APPLICATION) -> None:
    """Wait until the rollout is complete and the autoscaler's smallest number of pods is available.

    If it fails, print what the cluster says about each pod, and raise DeploymentError.
    """
    namespace = namespace_of(env)
    _live(namespace, deployment)  # Otherwise `rollout status` prints an error that is then raised as well.
    if _is_rolled_out(namespace, deployment, ROLLOUT_TIMEOUT) and _has_minimum(namespace, deployment):
        return
    print(_explanation(namespace, _live(namespace, deployment)), flush=True)  # noqa: T201
    ways_back = {
        APPLICATION: f"`make rollback ENV={env}` returns to the version before",
        f"{APPLICATION}-{CANARY}": (
            f"`make abort ENV={env} IMAGE=…` with the image that ran before ends the canary"
        ),
        f"{APPLICATION}-{UI}": (
            "ui.image of the environment must name an image that was pushed; the service itself is rolled out"
        ),
    }
    raise DeploymentError(
        f"deployment {deployment} in {namespace} is not rolled out; "
        f"`kubectl logs` may say why, and {ways_back[deployment]}"
    )


def _is_rolled_out(namespace: str, deployment: str, timeout: str) -> bool:
    return kubectl.succeeds(
        "rollout", "status", f"deployment/{deployment}", "--namespace", namespace, "--timeout", timeout
    )


def _has_minimum(namespace: str, deployment: str) -> bool:
    """Wait until the smallest number of pods is available.

    A new Deployment has one pod until its autoscaler acts. The autoscaler of the cluster is asked, because a
    roll-back knows no environment.
    """
    minimum = max(_minimums(namespace, deployment), default=0)
    deadline = time.monotonic() + AUTOSCALER_SECONDS
    live = _live(namespace, deployment)
    if (live.status.availableReplicas or 0) >= minimum:
        return True
    while live.spec.replicas < minimum:
        if time.monotonic() > deadline:
            kubectl.say(
                f"the autoscaler has not scaled {deployment} to its minimum of {minimum} pods "
                f"within {AUTOSCALER_SECONDS} seconds; `kubectl describe hpa -n {namespace}` may say why"
            )
            return False
        time.sleep(POLL_SECONDS)
        live = _live(namespace, deployment)
    # Kubernetes applies the deadline only to a new version, so it is the time limit here.
    return _is_rolled_out(namespace, deployment, f"{live.spec.progressDeadlineSeconds}s")


def _minimums(namespace: str, deployment: str) -> Iterator[int]:
    """The smallest number of pods in each autoscaler of the deployment.

    KEDA makes a HorizontalPodAutoscaler from a ScaledObject, but only after a while, so both are read.
    """
    for kind, key in ((HorizontalPodAutoscaler, "minReplicas"), (ScaledObject, "minReplicaCount")):
        for spec in (item["spec"] for item in _readable(namespace, kubectl.resource(kind))):
            if spec["scaleTargetRef"]["name"] == deployment:
                yield spec.get(key, 0)


def _explanation(namespace: str, deployment: Any) -> str:
    labels = ",".join(f"{key}={value}" for key, value in deployment.spec.selector.matchLabels.items())
    pods = _readable(namespace, "pods", "--selector", labels)
    warnings = _readable(namespace, "events", "--field-selector", "type=Warning")
    typed: tuple[Any, Any] = (map(Pod.from_dict, pods), map(Event.from_dict, warnings))
    return table(describe(deployment, *typed))


def _live(namespace: str, deployment: str) -> Any:
    return Deployment.from_dict(kubectl.read_json("get", "deployment", deployment, "--namespace", namespace))


def _readable(namespace: str, *what: str) -> list[Any]:
    """The objects that kubectl finds; none if the cluster has no such kind or forbids to read it."""
    try:
        items: list[Any] = kubectl.read_json("get", *what, "--namespace", namespace)["items"]
    except UnknownKind:
        return []
    except DeploymentError as error:
        kubectl.say(f"{what[0]} cannot be read: {error}")
        return []
    return items
