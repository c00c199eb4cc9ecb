"""All objects of an environment."""

from lightkube.generic_resource import GenericNamespacedResource
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import ConfigMap, Namespace, Service, ServiceAccount
from lightkube.resources.networking_v1 import Ingress, NetworkPolicy
from lightkube.resources.policy_v1 import PodDisruptionBudget

from k8s.environment.sections import Environment
from k8s.objects.autoscaling import autoscaler, scaled_object
from k8s.objects.configuration import config_map
from k8s.objects.entry_points import http_route, ingress, ui_http_route, ui_ingress
from k8s.objects.monitoring import dashboard, pod_monitor, prometheus_rule
from k8s.objects.namespace import namespace
from k8s.objects.network_policy import network_policy, ui_network_policy
from k8s.objects.services import canary_service, service, ui_service
from k8s.objects.tracks import tracks
from k8s.objects.ui import ui_deployment
from k8s.objects.workload import deployment, disruption_budget, service_account

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
"""Any object of an environment; custom resources are generic."""


def objects(environment: Environment) -> tuple[Object, ...]:
    """All objects, in an order in which they can be applied."""
    return (
        *_namespaces(environment),
        service_account(environment),
        network_policy(environment),
        config_map(environment),
        *_services(environment),
        *(deployment(environment, track) for track in tracks(environment)),
        disruption_budget(environment),
        *_scaling(environment),
        *_entry_points(environment),
        *_monitoring(environment),
        *_ui(environment),
    )


def _namespaces(environment: Environment) -> tuple[Object, ...]:
    return (namespace(environment),) if environment.create_namespace else ()


def _services(environment: Environment) -> tuple[Object, ...]:
    if environment.gateway and environment.canary:
        return service(environment), canary_service(environment)
    return (service(environment),)


def _scaling(environment: Environment) -> tuple[Object, ...]:
    keda = environment.autoscaler.keda
    return (scaled_object(environment, keda) if keda else autoscaler(environment),)


def _entry_points(environment: Environment) -> tuple[Object, ...]:
    from_ingress = (ingress(environment, environment.ingress),) if environment.ingress else ()
    from_gateway = (http_route(environment, environment.gateway),) if environment.gateway else ()
    return *from_ingress, *from_gateway


def _monitoring(environment: Environment) -> tuple[Object, ...]:
    settings = environment.pod_monitor
    if settings is None:
        return ()
    rules = (prometheus_rule(environment, settings),) if settings.rules else ()
    dashboards = (dashboard(environment),) if settings.dashboard else ()
    return pod_monitor(environment, settings), *rules, *dashboards


def _ui(environment: Environment) -> tuple[Object, ...]:
    ui = environment.ui
    if ui is None:
        return ()
    entry_points: list[Object] = []
    if ui.host and environment.ingress:
        entry_points.append(ui_ingress(environment, environment.ingress, ui, ui.host))
    if ui.host and environment.gateway:
        entry_points.append(ui_http_route(environment, environment.gateway, ui, ui.host))
    return (
        ui_network_policy(environment),
        ui_service(environment),
        ui_deployment(environment, ui),
        *entry_points,
    )
