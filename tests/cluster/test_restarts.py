"""A container that stops or hangs is started again, also while the registry does not answer."""

import json
import time
from collections.abc import Mapping

import pytest
from cluster import (
    NAMESPACE,
    Registry,
    container_status,
    in_namespace,
    kubectl,
    objects,
    ready_pods,
    wait_until,
)

TERMINATE_THE_PARENT = "import os, signal; os.kill(1, signal.SIGTERM)"
# Stops every process of a container, which only a process of its node can do.
STOP_ALL = """
import os, pathlib, signal, sys
found = [
    int(folder.name)
    for folder in pathlib.Path("/proc").iterdir()
    if folder.name.isdigit() and sys.argv[1] in (folder / "cgroup").read_text()
]
for process in found:
    os.kill(process, signal.SIGSTOP)
assert found
"""
ON_THE_NODE = "stop-a-container"
LONGEST_HANG = 30.0
"""Seconds from the moment that a container hangs until the next one is ready; about 23 are usual."""


def on_the_node(node: str, image: str, *command: str) -> None:
    """Run a command as root among the processes of a node."""
    container = {
        "name": ON_THE_NODE,
        "image": image,
        "command": list(command),
        "securityContext": {"privileged": True, "runAsUser": 0},
    }
    spec = {"hostPID": True, "nodeName": node, "restartPolicy": "Never", "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": ON_THE_NODE}, "spec": spec}
    kubectl("apply", "--namespace", "default", "--filename", "-", stdin=json.dumps(pod))
    try:
        succeeded = "--for=jsonpath={.status.phase}=Succeeded"
        kubectl("wait", succeeded, "--namespace", "default", f"pod/{ON_THE_NODE}", "--timeout", "60s")
    finally:
        kubectl("delete", "pod", "--namespace", "default", ON_THE_NODE, "--grace-period=0", "--force")


def wait_for_restart(pod: str, container: str) -> None:
    """Wait until another container of the pod is ready."""
    wait_until(
        lambda: container_status(pod)["containerID"] != container and pod in ready_pods(),
        f"another container of {pod} is ready",
    )


@pytest.mark.usefixtures("deployed")
def test_a_container_starts_again_while_the_registry_does_not_answer(registry: Registry) -> None:
    pod = ready_pods()[0]
    container = container_status(pod)["containerID"]
    with registry.stopped():
        in_namespace("exec", pod, "--", "python3", "-c", TERMINATE_THE_PARENT)
        wait_for_restart(pod, container)


@pytest.mark.usefixtures("deployed")
def test_a_container_that_hangs_is_replaced_in_half_a_minute(images: Mapping[str, str]) -> None:
    pod = ready_pods()[0]
    (node,) = [one["spec"]["nodeName"] for one in objects("pods") if one["metadata"]["name"] == pod]
    container = container_status(pod)["containerID"]
    on_the_node(node, images["first"], "python3", "-c", STOP_ALL, container.rpartition("/")[2])
    begin = time.monotonic()
    wait_for_restart(pod, container)
    seconds = time.monotonic() - begin
    print(f"ready again after {seconds:.1f} s")  # noqa: T201
    assert seconds < LONGEST_HANG
    events = kubectl(
        "get", "events", "--namespace", NAMESPACE, "--field-selector", f"involvedObject.name={pod}"
    )
    assert "Liveness probe failed" in events
