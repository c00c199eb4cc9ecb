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
UI = "ui"
HTTP = "http"
"""Name of the container's port. Services, probes, policies and monitors refer to it."""

_NAME = "app.kubernetes.io/name"
_INSTANCE = "app.kubernetes.io/instance"
_COMPONENT = "app.kubernetes.io/component"


def application_selector(environment: Environment) -> dict[str, str]:
    """The labels that all pods of both tracks have, and no other pods in the namespace."""
    return {_NAME: APPLICATION, _INSTANCE: environment.name}


def ui_selector(environment: Environment) -> dict[str, str]:
    """The labels that the pods of the web client have, which are none of the service's pods."""
    return {_NAME: f"{APPLICATION}-{UI}", _INSTANCE: environment.name}


def ui_labels(environment: Environment) -> dict[str, str]:
    """The labels in which the objects of the web client differ from the others."""
    return ui_selector(environment) | {_COMPONENT: UI}


def track_selector(environment: Environment, track: str) -> dict[str, str]:
    """The labels that the pods of one track have."""
    return application_selector(environment) | {TRACK: track}


def object_labels(environment: Environment) -> dict[str, str]:
    """The labels of every object: those that never change, and those that the environment adds.

    Only pods have the labels of a version, because `kubectl rollout undo` restores no other labels.
    """
    own = {
        _COMPONENT: "server",
        "app.kubernetes.io/part-of": APPLICATION,
        "app.kubernetes.io/managed-by": "kustomize",
    }
    return environment.labels | application_selector(environment) | own


def own_selector(environment: Environment) -> str:
    """Selects every rendered object, by the labels that no environment changes."""
    service, ui = object_labels(environment), object_labels(environment) | ui_labels(environment)
    values = {key: sorted({service[key], ui[key]}) for key in service if key.startswith(OWN_LABELS)}
    return ",".join(f"{key} in ({','.join(allowed)})" for key, allowed in values.items())


def canary_name(environment: Environment) -> str:
    """The name of the canary's Deployment and Service."""
    return f"{environment.name}-{CANARY}"


def dashboard_name(environment: Environment) -> str:
    """The name of the ConfigMap with the dashboard."""
    return f"{environment.name}-{DASHBOARD}"


def ui_name(environment: Environment) -> str:
    """The name of every object of the web client."""
    return f"{environment.name}-{UI}"


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
