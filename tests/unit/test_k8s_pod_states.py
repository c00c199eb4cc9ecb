"""What a person is told about the pods of a rollout that fails, from objects as the cluster returns them."""

from typing import Any

import pytest
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Event, Pod

from k8s.pod_states import MAX_EVENTS, MAX_MESSAGE_CHARACTERS, Finding, describe, table


def deployment(*conditions: dict[str, str]) -> Deployment:
    spec = {"selector": {}, "template": {}}
    return Deployment.from_dict({"metadata": {}, "spec": spec, "status": {"conditions": list(conditions)}})


def pod(name: str = "one", **status: Any) -> Pod:
    return Pod.from_dict({"metadata": {"name": name}, "spec": {"containers": []}, "status": status})


def container(state: dict[str, Any], last: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    status = {"name": "server", "image": "", "imageID": "", "ready": False, "restartCount": 0}
    return status | {"state": state, "lastState": last or {}} | more


def event(reason: str, message: str, minute: int, about: str = "one", **more: Any) -> Event:
    return Event.from_dict(
        {
            "metadata": {"name": f"{about}.{reason}"},
            "involvedObject": {"kind": "Pod", "name": about},
            "reason": reason,
            "message": message,
            "lastTimestamp": f"2026-11-26T10:{minute:02}:00Z",
        }
        | more
    )


def findings(one: Pod, *events: Event) -> list[Finding]:
    return describe(deployment(), [one], events)


def test_a_pod_that_fits_on_no_node_shows_what_is_insufficient() -> None:
    message = "0/1 nodes are available: 1 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    found = findings(pod(phase="Pending", conditions=[condition]), event("FailedScheduling", message, 1))
    assert found == [Finding("one", "not scheduled", "Unschedulable", message)]


def test_a_container_that_was_killed_for_its_memory_says_so_while_it_waits_for_its_next_start() -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting"}}
    killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    again = event("BackOff", "Back-off restarting", 1)
    found = findings(pod(containerStatuses=[container(waiting, killed, restartCount=2)]), again)
    assert found == [
        Finding("one", "server waits", "CrashLoopBackOff", "back-off 20s restarting"),
        Finding("one", "server ended before", "OOMKilled", "exit code 137, 2 restarts"),
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("error: the model is damaged", "error: the model is damaged"),
        ('{"error": "the model is damaged", "event": "start_failed"}', "the model is damaged"),
        ('{"event": "drained"}', '{"event": "drained"}'),
        ('{"event": "cut', '{"event": "cut'),
    ],
)
def test_a_container_that_crashes_shows_its_exit_code_and_the_last_line_of_its_log(
    line: str, shown: str
) -> None:
    crashed = {"terminated": {"reason": "Error", "exitCode": 1, "message": f"starting\n{line}\n"}}
    (found,) = findings(pod(containerStatuses=[container(crashed, restartCount=1)]))
    assert found == Finding("one", "server ended", "Error", f"exit code 1, 1 restart; {shown}")


def test_an_image_that_cannot_be_pulled_shows_why() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
    (found,) = findings(pod(containerStatuses=[container(waiting)]))
    assert found == Finding("one", "server waits", "ErrImagePull", "not found")


def test_an_init_container_is_shown_as_well() -> None:
    waiting = {"waiting": {"reason": "PodInitializing"}}
    first = container({"terminated": {"reason": "Error", "exitCode": 3}}, name="first")
    found = findings(pod(initContainerStatuses=[first], containerStatuses=[container(waiting)]))
    assert [(one.state, one.reason) for one in found] == [
        ("first ended", "Error"),
        ("server waits", "PodInitializing"),
    ]


def test_a_pod_that_runs_and_is_not_ready_shows_its_latest_warnings_once_each() -> None:
    running = container({"running": {"startedAt": "2026-11-26T10:00:00Z"}})
    probe = event("Unhealthy", "Readiness probe failed: 503", 9, count=12)
    mounts = [event("FailedMount", f"volume {number}", number) for number in range(1, 6)]
    _, *events = findings(pod(containerStatuses=[running]), probe, mounts[2], *mounts)
    assert len(events) == MAX_EVENTS
    assert events[-1] == Finding("one", "event", "Unhealthy (12 times)", "Readiness probe failed: 503")
    assert [one.message for one in events[:2]] == ["volume 4", "volume 5"]


def test_an_event_of_a_series_counts_from_its_latest_time() -> None:
    running = container({"running": {}})
    series = {"series": {"count": 3, "lastObservedTime": "2026-11-26T10:30:00.000000Z"}}
    old = [event("Old", str(number), 10 + number) for number in range(MAX_EVENTS)]
    found = findings(pod(containerStatuses=[running]), event("Repeated", "again", 1, **series), *old)
    assert found[-1].reason == "Repeated"


def test_events_of_other_objects_are_not_shown() -> None:
    other = event("Unhealthy", "no", 1, about="another")
    node = event("OOM", "no", 1, involvedObject={"kind": "Node", "name": "one"})
    found = findings(pod(containerStatuses=[container({"running": {}})]), other, node)
    assert [one.state for one in found] == ["server runs"]


def test_an_evicted_pod_shows_the_reason() -> None:
    (found,) = findings(pod(phase="Failed", reason="Evicted", message="The node was low on memory."))
    assert found == Finding("one", "Failed", "Evicted", "The node was low on memory.")


def test_a_ready_pod_has_one_line_and_nothing_of_its_past() -> None:
    last = {"terminated": {"reason": "Error", "exitCode": 1}}
    ready = pod(
        conditions=[{"type": "Ready", "status": "True"}],
        containerStatuses=[container({"running": {}}, last, ready=True)],
    )
    assert findings(ready, event("Unhealthy", "earlier", 1)) == [Finding("one", "ready", "", "")]


@pytest.mark.parametrize("status", [{}, {"phase": "Pending"}])
def test_a_pod_about_which_nothing_is_known_yet_is_shown_too(status: dict[str, Any]) -> None:
    assert findings(pod(**status)) == [Finding("one", status.get("phase", "not ready"), "", "")]


def test_pods_that_could_not_be_created_are_explained() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    assert describe(deployment(condition), [], []) == [
        Finding("(none)", "not created", "FailedCreate", "quota")
    ]


def test_a_long_message_is_one_bounded_line() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "a\nb " * MAX_MESSAGE_CHARACTERS}}
    (found,) = findings(pod(containerStatuses=[container(waiting)]))
    assert found.message.startswith("a b a b")
    assert len(found.message) == MAX_MESSAGE_CHARACTERS + 1
    assert found.message.endswith("…")


def test_the_table_is_aligned() -> None:
    rows = [Finding("one", "ready", "", ""), Finding("another", "server waits", "ErrImagePull", "not found")]
    assert table(rows).splitlines() == [
        "POD       STATE          REASON         MESSAGE",
        "one       ready",
        "another   server waits   ErrImagePull   not found",
    ]
