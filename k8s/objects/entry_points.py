"""The entry points for requests from outside the cluster: an Ingress, or the HTTPRoute of a Gateway."""

from typing import Any

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.models.networking_v1 import (
    HTTPIngressPath,
    HTTPIngressRuleValue,
    IngressBackend,
    IngressRule,
    IngressServiceBackend,
    IngressSpec,
    IngressTLS,
    ServiceBackendPort,
)
from lightkube.resources.networking_v1 import Ingress

from k8s.environment.sections import EntryPoint, Environment, GatewaySettings, IngressSettings
from k8s.objects.labels import HTTP, canary_name, metadata
from serving.routes import BENTOML_SCHEMA_PATH, DOCS, OPENAPI, READYZ, ROUTES

_MAX_MATCHES = 8
"""Most matches in a rule of an HTTPRoute, before Gateway API 1.2."""

HTTPRoute = create_namespaced_resource("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")


def ingress(environment: Environment, settings: IngressSettings) -> Ingress:
    """The Ingress, which terminates TLS."""
    backend = IngressBackend(
        service=IngressServiceBackend(name=environment.name, port=ServiceBackendPort(name=HTTP))
    )
    paths = [
        HTTPIngressPath(path=path, pathType="Prefix" if is_prefix else "Exact", backend=backend)
        for path, is_prefix in _public_paths(settings)
    ]
    tls = IngressTLS(hosts=[settings.host], secretName=settings.tls_secret)
    return Ingress(
        metadata=metadata(environment, environment.name, annotations=settings.annotations),
        spec=IngressSpec(
            ingressClassName=settings.class_name,
            tls=[tls] if settings.tls_secret else None,
            rules=[
                IngressRule(
                    host=settings.host,
                    http=HTTPIngressRuleValue(paths=paths),
                )
            ],
        ),
    )


def http_route(environment: Environment, settings: GatewaySettings) -> GenericNamespacedResource:
    """The route of a Gateway, whose listener terminates TLS. A canary receives exactly its weight."""
    port, canary = environment.service.port, environment.canary
    backends: list[dict[str, Any]] = [{"name": environment.name, "port": port}]
    if canary:
        backends[0]["weight"] = 100 - canary.weight
        backends.append({"name": canary_name(environment), "port": port, "weight": canary.weight})
    matches = [
        {"path": {"type": "PathPrefix" if is_prefix else "Exact", "value": path}}
        for path, is_prefix in _public_paths(settings)
    ]
    listener = {"name": settings.name, "namespace": settings.namespace, "sectionName": settings.listener}
    return HTTPRoute(
        metadata=metadata(environment, environment.name, annotations=settings.annotations),
        spec={
            "parentRefs": [listener],
            "hostnames": [settings.host],
            "rules": [
                {"matches": matches[start : start + _MAX_MATCHES], "backendRefs": backends}
                for start in range(0, len(matches), _MAX_MATCHES)
            ],
        },
    )


def _public_paths(settings: EntryPoint) -> list[tuple[str, bool]]:
    """The paths that clients outside the cluster need, and whether each includes the paths below it.

    No other path is routed: neither those of Kubernetes and Prometheus nor those that no setting asks for.
    """
    left_out = {
        *(() if settings.docs else (DOCS, OPENAPI)),
        *(() if settings.bentoml_clients else (READYZ,)),
    }
    routes = [route for route in ROUTES if not route.is_internal and route not in left_out]
    schema = [(BENTOML_SCHEMA_PATH, False)] if settings.bentoml_clients else []
    return [*((route.path, route.has_files) for route in routes), *schema]
