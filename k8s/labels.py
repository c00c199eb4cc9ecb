"""The names and labels by which objects find each other."""

from collections.abc import Mapping
from types import MappingProxyType

from lightkube.models.meta_v1 import ObjectMeta

from k8s.environments import Environment

APPLICATION = "text-classifier"
PREFIX = "text-classifier"
"""Of the labels and annotations that are this project's own."""
VERSION = "app.kubernetes.io/version"
TRACK = "track"
STABLE = "stable"
CANARY = "canary"
HTTP = "http"
"""Name of the container's port, which everything that leads there asks for."""


def application_selector(environment: Environment) -> dict[str, str]:
    """The labels of the pods of both tracks, and of no others in the namespace."""
    return {
        "app.kubernetes.io/name": APPLICATION,
        "app.kubernetes.io/instance": environment.name,
    }


def track_selector(environment: Environment, track: str) -> dict[str, str]:
    """The labels of the pods of one track."""
    return application_selector(environment) | {TRACK: track}


def object_labels(environment: Environment) -> dict[str, str]:
    """The labels of every object."""
    return application_selector(environment) | {
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/part-of": APPLICATION,
        "app.kubernetes.io/managed-by": "kustomize",
    }


def canary_name(environment: Environment) -> str:
    """The name of the canary's Deployment and Service."""
    return f"{environment.name}-{CANARY}"


def metadata(
    environment: Environment,
    name: str,
    labels: Mapping[str, str] = MappingProxyType({}),
    annotations: Mapping[str, str] = MappingProxyType({}),
) -> ObjectMeta:
    """What an object of the namespace says of itself: what every one does, and these."""
    return ObjectMeta(
        name=name,
        namespace=environment.namespace,
        labels=object_labels(environment) | dict(labels),
        annotations=dict(annotations) or None,
    )
