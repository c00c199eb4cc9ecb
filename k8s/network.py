"""The objects through which requests reach the pods, and the one that lets nothing else in or out."""

from typing import Any

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import LabelSelector
from lightkube.models.networking_v1 import (
    HTTPIngressPath,
    HTTPIngressRuleValue,
    IngressBackend,
    IngressRule,
    IngressServiceBackend,
    IngressSpec,
    IngressTLS,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
    ServiceBackendPort,
)
from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress, NetworkPolicy

from k8s.environments import Environment, GatewaySettings, IngressSettings
from k8s.labels import (
    CANARY,
    HTTP,
    STABLE,
    TRACK,
    application_selector,
    canary_name,
    metadata,
    track_selector,
)
from serving.routes import BENTOML_SCHEMA_PATH, ROUTES

_MOST_MATCHES = 8
"""In a rule of an HTTPRoute, before Gateway API 1.2."""

HTTPRoute = create_namespaced_resource("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")

DNS_PORT = 53
DNS_PODS = {"k8s-app": "kube-dns"}


def service(environment: Environment) -> Service:
    """The address of the pods: of both tracks, or of the stable one where a route splits by weight."""
    if environment.gateway is None:
        selector = application_selector(environment)
    else:
        selector = track_selector(environment, STABLE)
    settings = environment.service
    return Service(
        metadata=metadata(environment, environment.name),
        spec=ServiceSpec(
            type=settings.type, selector=selector, ports=[_port(environment, settings.node_port)]
        ),
    )


def canary_service(environment: Environment) -> Service:
    """The address of the canary's pods, for a route that splits by weight."""
    return Service(
        metadata=metadata(environment, canary_name(environment), labels={TRACK: CANARY}),
        spec=ServiceSpec(
            type="ClusterIP", selector=track_selector(environment, CANARY), ports=[_port(environment)]
        ),
    )


def _port(environment: Environment, node_port: int | None = None) -> ServicePort:
    return ServicePort(
        name=HTTP,
        port=environment.service.port,
        targetPort=HTTP,
        nodePort=node_port,
        protocol="TCP",
        appProtocol="http",
    )


def network_policy(environment: Environment) -> NetworkPolicy:
    """In: HTTP from where requests and scrapes come from. Out: questions for names, and nothing else."""
    dns = _pods_of(environment.dns_namespace, DNS_PODS)
    return NetworkPolicy(
        metadata=metadata(environment, environment.name),
        spec=NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=application_selector(environment)),
            policyTypes=["Ingress", "Egress"],
            ingress=[
                NetworkPolicyIngressRule(
                    from_=_callers(environment), ports=[NetworkPolicyPort(port=HTTP, protocol="TCP")]
                )
            ],
            egress=[
                NetworkPolicyEgressRule(
                    to=[dns],
                    ports=[
                        NetworkPolicyPort(port=DNS_PORT, protocol="UDP"),
                        NetworkPolicyPort(port=DNS_PORT, protocol="TCP"),
                    ],
                )
            ],
        ),
    )


def _callers(environment: Environment) -> list[NetworkPolicyPeer] | None:
    """Where HTTP may come from; None is anywhere."""
    if environment.service.type == "NodePort":
        return None  # its requests come from addresses of nodes, which no selector of pods matches
    callers = [NetworkPolicyPeer(podSelector=LabelSelector())]  # of this namespace
    if environment.ingress:
        callers.append(_pods_of(environment.ingress.controller_namespace))
    if environment.gateway:
        callers.append(_pods_of(environment.gateway.proxy_namespace))
    if environment.pod_monitor:
        callers.append(_pods_of(environment.pod_monitor.prometheus_namespace))
    return callers


def _pods_of(namespace: str, labels: dict[str, str] | None = None) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(
        namespaceSelector=LabelSelector(matchLabels={"kubernetes.io/metadata.name": namespace}),
        podSelector=LabelSelector(matchLabels=labels) if labels else None,
    )


def _outside_paths() -> list[tuple[str, bool]]:
    """The paths that callers from outside need, and whether those below them are meant, too."""
    routes = [(route.path, route.has_files) for route in ROUTES if not route.is_internal]
    return [*routes, (BENTOML_SCHEMA_PATH, False)]


def ingress(environment: Environment, settings: IngressSettings) -> Ingress:
    """The way in from outside of the cluster, with TLS."""
    backend = IngressBackend(
        service=IngressServiceBackend(name=environment.name, port=ServiceBackendPort(name=HTTP))
    )
    paths = [
        HTTPIngressPath(path=path, pathType="Prefix" if is_prefix else "Exact", backend=backend)
        for path, is_prefix in _outside_paths()
    ]
    return Ingress(
        metadata=metadata(environment, environment.name, annotations=settings.annotations),
        spec=IngressSpec(
            ingressClassName=settings.class_name,
            tls=[IngressTLS(hosts=[settings.host], secretName=settings.tls_secret)],
            rules=[
                IngressRule(
                    host=settings.host,
                    http=HTTPIngressRuleValue(paths=paths),
                )
            ],
        ),
    )


def http_route(environment: Environment, settings: GatewaySettings) -> GenericNamespacedResource:
    """The way in through a Gateway, whose listener ends TLS; a canary gets its weight exactly."""
    port, canary = environment.service.port, environment.canary
    backends: list[dict[str, Any]] = [{"name": environment.name, "port": port}]
    if canary:
        backends[0]["weight"] = 100 - canary.weight
        backends.append({"name": canary_name(environment), "port": port, "weight": canary.weight})
    matches = [
        {"path": {"type": "PathPrefix" if is_prefix else "Exact", "value": path}}
        for path, is_prefix in _outside_paths()
    ]
    listener = {"name": settings.name, "namespace": settings.namespace, "sectionName": settings.listener}
    return HTTPRoute(
        metadata=metadata(environment, environment.name),
        spec={
            "parentRefs": [listener],
            "hostnames": [settings.host],
            "rules": [
                {"matches": matches[start : start + _MOST_MATCHES], "backendRefs": backends}
                for start in range(0, len(matches), _MOST_MATCHES)
            ],
        },
    )
