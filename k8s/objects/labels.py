"""The names and labels that connect the objects."""

from collections.abc import Mapping
from types import MappingProxyType

from lightkube.models.meta_v1 import ObjectMeta

from k8s.environment.sections import Environment

APPLICATION = "text-classifier"
PREFIX = "text-classifier"
"""Prefix of this project's own labels and annotations."""
OWN_LABELS = "app.kubernetes.io/"
"""Prefix of the labels that no environment changes."""
VERSION = "app.kubernetes.io/version"
TRACK = "track"
STABLE = "stable"
CANARY = "canary"
DASHBOARD = "dashboard"
HTTP = "http"
"""Name of the container's port. Services, probes, policies and monitors refer to it."""


def application_selector(environment: Environment) -> dict[str, str]:
    """The labels that all pods of both tracks have, and no other pods in the namespace."""
    return {
        "app.kubernetes.io/name": APPLICATION,
        "app.kubernetes.io/instance": environment.name,
    }


def track_selector(environment: Environment, track: str) -> dict[str, str]:
    """The labels that the pods of one track have."""
    return application_selector(environment) | {TRACK: track}


def object_labels(environment: Environment) -> dict[str, str]:
    """The labels of every object: those that never change, and those that the environment adds.

    Only pods have the labels of a version, because `kubectl rollout undo` restores no other labels.
    """
    own = {
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/part-of": APPLICATION,
        "app.kubernetes.io/managed-by": "kustomize",
    }
    return environment.labels | application_selector(environment) | own


def own_labels(environment: Environment) -> dict[str, str]:
    """The labels that every rendered object has and no environment changes: by them it is recognized."""
    labels = object_labels(environment)
    return {key: value for key, value in labels.items() if key.startswith(OWN_LABELS)}


def canary_name(environment: Environment) -> str:
    """The name of the canary's Deployment and Service."""
    return f"{environment.name}-{CANARY}"


def dashboard_name(environment: Environment) -> str:
    """The name of the ConfigMap with the dashboard."""
    return f"{environment.name}-{DASHBOARD}"


def metadata(
    environment: Environment,
    name: str,
    labels: Mapping[str, str] = MappingProxyType({}),
    annotations: Mapping[str, str] = MappingProxyType({}),
) -> ObjectMeta:
    """The metadata of an object in the namespace: the labels of every object, and those given."""
    return ObjectMeta(
        name=name,
        namespace=environment.namespace,
        labels=object_labels(environment) | dict(labels),
        annotations=dict(annotations) or None,
    )
