"""What each pod of a rollout is doing, and the reasons that the cluster gives if it is not ready."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from itertools import chain

from lightkube.models.core_v1 import ContainerStateTerminated, ContainerStatus
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Event, Pod

from classifier.validation import shortened

MAX_EVENTS = 3
"""Most events shown for a pod, the latest ones."""
MAX_MESSAGE_CHARACTERS = 400

REPEATED = ("BackOff", "FailedScheduling")
"""Reasons of events that repeat what the state of a pod says."""

HEADER = ("POD", "STATE", "REASON", "MESSAGE")
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Finding:
    """One thing that the cluster says about a pod. The fields are the columns of the table."""

    subject: str
    state: str
    reason: str
    message: str


def describe(deployment: Deployment, pods: Iterable[Pod], warnings: Iterable[Event]) -> list[Finding]:
    """What the cluster says about the pods, first about those that could not be created.

    `warnings` are the events of type Warning in the namespace.
    """
    events = sorted(warnings, key=_time)
    return [
        *_of_deployment(deployment),
        *chain.from_iterable(_of_pod(pod, [one for one in events if _is_about(one, pod)]) for pod in pods),
    ]


def table(findings: Sequence[Finding]) -> str:
    """The findings in aligned columns, one in each line."""
    rows = [HEADER, *(astuple(finding) for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER) - 1)]
    return "\n".join(
        "   ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def _of_deployment(deployment: Deployment) -> Iterator[Finding]:
    for condition in (deployment.status and deployment.status.conditions) or ():
        if condition.type == "ReplicaFailure" and condition.status == "True":
            yield Finding("(none)", "not created", condition.reason or "", _line(condition.message))


def _of_pod(pod: Pod, events: Sequence[Event]) -> Iterator[Finding]:
    name, status = _name(pod), pod.status
    if _is_ready(pod):
        yield Finding(name, "ready", "", "")
        return
    found = [*_of_conditions(pod), *_of_containers(pod)]
    if status and status.reason:  # such as Evicted
        found.insert(0, Finding(name, status.phase or "", status.reason, _line(status.message)))
    found.extend(_of_events(name, events))
    yield from found or [Finding(name, (status and status.phase) or "not ready", "", "")]


def _of_conditions(pod: Pod) -> Iterator[Finding]:
    for condition in (pod.status and pod.status.conditions) or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            yield Finding(_name(pod), "not scheduled", condition.reason or "", _line(condition.message))


def _of_containers(pod: Pod) -> Iterator[Finding]:
    if pod.status is None:
        return
    for status in (*(pod.status.initContainerStatuses or ()), *(pod.status.containerStatuses or ())):
        yield from _of_container(_name(pod), status)


def _of_container(name: str, status: ContainerStatus) -> Iterator[Finding]:
    state = status.state
    if state and state.waiting:
        waiting = state.waiting
        yield Finding(name, f"{status.name} waits", waiting.reason or "", _line(waiting.message))
    elif state and state.terminated:
        yield _ended(name, f"{status.name} ended", state.terminated, status.restartCount)
    elif not status.ready:
        yield Finding(name, f"{status.name} runs", "not ready", "its probes do not succeed yet")
    if status.lastState and status.lastState.terminated:
        yield _ended(name, f"{status.name} ended before", status.lastState.terminated, status.restartCount)


def _ended(name: str, state: str, terminated: ContainerStateTerminated, restarts: int) -> Finding:
    # The message is the end of the log, whose last line gives the reason.
    lines = (terminated.message or "").strip().splitlines()
    facts = f"exit code {terminated.exitCode}, {restarts} restart{'' if restarts == 1 else 's'}"
    return Finding(
        name, state, terminated.reason or "", f"{facts}; {_line(_said(lines[-1]))}" if lines else facts
    )


def _said(line: str) -> str:
    """The error in a line of the service's log, which is JSON; any other line as it is."""
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    return str(fields["error"]) if isinstance(fields, dict) and "error" in fields else line


def _of_events(name: str, events: Sequence[Event]) -> Iterator[Finding]:
    # Kubernetes counts an event that repeats; one without a count happened once. The latest comes last.
    latest = {(event.reason, event.message): event for event in events if event.reason not in REPEATED}
    for event in list(latest.values())[-MAX_EVENTS:]:
        times = f" ({event.count} times)" if event.count and event.count > 1 else ""
        yield Finding(name, "event", f"{event.reason}{times}", _line(event.message))


def _is_ready(pod: Pod) -> bool:
    conditions = (pod.status and pod.status.conditions) or ()
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


def _is_about(event: Event, pod: Pod) -> bool:
    return event.involvedObject.kind == "Pod" and event.involvedObject.name == _name(pod)


def _time(event: Event) -> datetime:
    of_series = event.series.lastObservedTime if event.series else None
    return of_series or event.lastTimestamp or event.eventTime or _BEGINNING


def _name(pod: Pod) -> str:
    return str(pod.metadata.name) if pod.metadata else ""


def _line(message: str | None) -> str:
    """The message in one line of bounded length."""
    return shortened(" ".join((message or "").split()), MAX_MESSAGE_CHARACTERS)
