"""The Kubernetes objects of an environment: one pure function for each, and the list of them."""

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.models.policy_v1 import PodDisruptionBudgetSpec
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import ConfigMap, Namespace, Service, ServiceAccount
from lightkube.resources.networking_v1 import Ingress, NetworkPolicy
from lightkube.resources.policy_v1 import PodDisruptionBudget

from k8s.autoscaling import autoscaler, scaled_object
from k8s.config import CONFIG_FILE, config_map_name, config_text
from k8s.environments import Environment, PodMonitorSettings
from k8s.labels import (
    HTTP,
    TRACK,
    VERSION,
    application_selector,
    metadata,
    object_labels,
    track_selector,
)
from k8s.network import canary_service, http_route, ingress, network_policy, service
from k8s.pods import pod_template
from k8s.tracks import Track, tracks
from serving.routes import METRICS

PodMonitor = create_namespaced_resource("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")

Object = (
    ConfigMap
    | Deployment
    | GenericNamespacedResource
    | HorizontalPodAutoscaler
    | Ingress
    | Namespace
    | NetworkPolicy
    | PodDisruptionBudget
    | Service
    | ServiceAccount
)
"""Any of them; those of custom resources are generic."""


def objects(environment: Environment) -> tuple[Object, ...]:
    """All of them, in an order in which they can be applied."""
    return (
        namespace(environment),
        service_account(environment),
        network_policy(environment),
        config_map(environment),
        *_services(environment),
        *(deployment(environment, track) for track in tracks(environment)),
        disruption_budget(environment),
        *_scaling(environment),
        *_ways_in(environment),
        *_monitoring(environment),
    )


def namespace(environment: Environment) -> Namespace:
    """The namespace, where pod security admits only pods that are `restricted`."""
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return Namespace(
        metadata=ObjectMeta(name=environment.namespace, labels=object_labels(environment) | modes)
    )


def service_account(environment: Environment) -> ServiceAccount:
    """An account of its own, which may do nothing and gets no token."""
    return ServiceAccount(
        metadata=metadata(environment, environment.name), automountServiceAccountToken=False
    )


def config_map(environment: Environment) -> ConfigMap:
    """The service's configuration. It never changes: another content is another object."""
    return ConfigMap(
        metadata=metadata(environment, config_map_name(environment.name, environment.config)),
        data={CONFIG_FILE: config_text(environment.config)},
        immutable=True,
    )


def deployment(environment: Environment, track: Track) -> Deployment:
    """The pods of one track. A new version comes pod by pod, and none goes before the next one is ready."""
    rollout, selector = environment.rollout, track_selector(environment, track.label)
    return Deployment(
        metadata=metadata(
            environment,
            track.name,
            labels=selector | track.labels,
            # What `kubectl rollout history` shows of each revision.
            annotations=track.annotations | {"kubernetes.io/change-cause": str(track.image)},
        ),
        spec=DeploymentSpec(
            replicas=track.replicas,
            selector=LabelSelector(matchLabels=selector),
            strategy=DeploymentStrategy(
                type="RollingUpdate",
                rollingUpdate=RollingUpdateDeployment(maxSurge=1, maxUnavailable=0),
            ),
            minReadySeconds=rollout.min_ready_seconds,
            progressDeadlineSeconds=rollout.progress_deadline_seconds,
            revisionHistoryLimit=rollout.revisions,
            template=pod_template(environment, track),
        ),
    )


def disruption_budget(environment: Environment) -> PodDisruptionBudget:
    """Drained nodes may take one pod at a time; a pod that is not ready never holds a node back."""
    return PodDisruptionBudget(
        metadata=metadata(environment, environment.name),
        spec=PodDisruptionBudgetSpec(
            maxUnavailable=1,
            selector=LabelSelector(matchLabels=application_selector(environment)),
            unhealthyPodEvictionPolicy="AlwaysAllow",
        ),
    )


def pod_monitor(environment: Environment, settings: PodMonitorSettings) -> GenericNamespacedResource:
    """What the Prometheus operator scrapes: each pod, with its track and version."""
    endpoint: dict[str, object] = {
        "port": HTTP,
        "path": METRICS.path,
        "interval": f"{settings.every_seconds}s",
    }
    if settings.api_key:
        credentials = {"name": settings.api_key.secret, "key": settings.api_key.key}
        endpoint["authorization"] = {"type": "Bearer", "credentials": credentials}
    return PodMonitor(
        metadata=metadata(environment, environment.name),
        spec={
            "selector": {"matchLabels": application_selector(environment)},
            "podTargetLabels": [TRACK, VERSION],
            "podMetricsEndpoints": [endpoint],
        },
    )


def _services(environment: Environment) -> tuple[Object, ...]:
    if environment.gateway and environment.canary:
        return service(environment), canary_service(environment)
    return (service(environment),)


def _scaling(environment: Environment) -> tuple[Object, ...]:
    keda = environment.autoscaler.keda
    return (scaled_object(environment, keda) if keda else autoscaler(environment),)


def _ways_in(environment: Environment) -> tuple[Object, ...]:
    from_ingress = (ingress(environment, environment.ingress),) if environment.ingress else ()
    from_gateway = (http_route(environment, environment.gateway),) if environment.gateway else ()
    return *from_ingress, *from_gateway


def _monitoring(environment: Environment) -> tuple[Object, ...]:
    return (pod_monitor(environment, environment.pod_monitor),) if environment.pod_monitor else ()
