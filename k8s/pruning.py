"""Deleting what an environment no longer contains from its namespace."""

from collections.abc import Sequence
from typing import Any

from lightkube.core.resource import NamespacedResource
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import ConfigMap, Pod, Service, ServiceAccount
from lightkube.resources.networking_v1 import Ingress, NetworkPolicy
from lightkube.resources.policy_v1 import PodDisruptionBudget

from k8s import kubectl
from k8s.environment.sections import Environment
from k8s.errors import DeploymentError, UnknownKind
from k8s.objects.assembly import objects
from k8s.objects.autoscaling import ScaledObject
from k8s.objects.entry_points import HTTPRoute
from k8s.objects.labels import application_selector, own_selector
from k8s.objects.monitoring import PodMonitor, PrometheusRule

Kind = type[NamespacedResource]

KINDS: tuple[Kind, ...] = (
    Ingress,
    HTTPRoute,
    PodMonitor,
    PrometheusRule,
    HorizontalPodAutoscaler,
    ScaledObject,
    Deployment,
    PodDisruptionBudget,
    NetworkPolicy,
    Service,
    ServiceAccount,
    ConfigMap,
)
"""Every kind that is rendered, in the order of deletion, except Namespace, which can contain more."""

DELETION_TIMEOUT = "2m"


def prune(environment: Environment) -> None:
    """Delete the objects that the environment had when it was deployed before, and no longer has.

    An object is ours if it has the labels of the rendered objects and no other object owns it. ConfigMaps
    that a pod or a revision uses stay, so that `make rollback` works. Raises DeploymentError.
    """
    kept = {(type(each), each.metadata.name) for each in objects(environment) if each.metadata}
    ours = own_selector(environment)
    stale = [
        (kind, metadata["name"])
        for kind in KINDS
        for metadata in _metadata(kind, environment.namespace, ours)
        if (kind, metadata["name"]) not in kept and not metadata.get("ownerReferences")
    ]
    if any(kind is ConfigMap for kind, _ in stale):
        stale = _without_used(stale, environment)
    if stale:
        names = [f"{kubectl.resource(kind)}/{name}" for kind, name in stale]
        in_namespace = ("--namespace", environment.namespace)
        kubectl.change("delete", *names, *in_namespace, "--ignore-not-found", "--timeout", DELETION_TIMEOUT)


def _without_used(stale: Sequence[tuple[Kind, str]], environment: Environment) -> list[tuple[Kind, str]]:
    """Leave out the ConfigMaps that pods have, or would have after a roll-back."""
    namespace = environment.namespace
    selector = ",".join(f"{key}={value}" for key, value in application_selector(environment).items())
    try:
        pods = [pod["spec"] for pod in _listed(Pod, namespace, selector)]
        revisions = [one["spec"]["template"]["spec"] for one in _listed(ReplicaSet, namespace, selector)]
    except DeploymentError as error:
        kubectl.say(f"ConfigMaps are not deleted: {error}")
        return [(kind, name) for kind, name in stale if kind is not ConfigMap]
    volumes = [volume for spec in (*pods, *revisions) for volume in spec.get("volumes", ())]
    used = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
    return [(kind, name) for kind, name in stale if kind is not ConfigMap or name not in used]


def _metadata(kind: Kind, namespace: str, selector: str) -> list[Any]:
    """The metadata of the live objects; none if the cluster has no such kind or forbids to read it."""
    try:
        return [one["metadata"] for one in _listed(kind, namespace, selector)]
    except UnknownKind:
        return []
    except DeploymentError as error:
        kubectl.say(f"not checked: whether there are {kubectl.resource(kind)} to delete: {error}")
        return []


def _listed(kind: Kind, namespace: str, selector: str) -> list[Any]:
    where = ("--namespace", namespace, "--selector", selector)
    found: list[Any] = kubectl.read_json("get", kubectl.resource(kind), *where)["items"]
    return found
