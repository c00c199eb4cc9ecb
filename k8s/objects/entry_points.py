"""The entry points for requests from outside the cluster: Ingresses, or the HTTPRoutes of a Gateway."""

from collections.abc import Sequence
from typing import Any

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
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

from k8s.environment.sections import EntryPoint, Environment, GatewaySettings, IngressSettings, UiSettings
from k8s.objects.labels import HTTP, canary_name, metadata, ui_labels, ui_name
from serving.routes import BENTOML_SCHEMA_PATH, DOCS, OPENAPI, READYZ, ROUTES

_MAX_MATCHES = 8
"""Most matches in a rule of an HTTPRoute, before Gateway API 1.2."""
_ALL_PATHS = (("/", True),)

HTTPRoute = create_namespaced_resource("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")


def ingress(environment: Environment, settings: IngressSettings) -> Ingress:
    """The Ingress, which terminates TLS."""
    name = environment.name
    about = metadata(environment, name, annotations=settings.annotations)
    return _ingress(settings, about, settings.host, name, _public_paths(settings))


def ui_ingress(environment: Environment, settings: IngressSettings, ui: UiSettings, host: str) -> Ingress:
    """The Ingress of the web client, for the same controller and with the same certificate."""
    about = _ui_metadata(environment, settings, ui)
    return _ingress(settings, about, host, ui_name(environment), _ALL_PATHS)


def _ingress(
    settings: IngressSettings,
    about: ObjectMeta,
    host: str,
    service: str,
    paths: Sequence[tuple[str, bool]],
) -> Ingress:
    backend = IngressBackend(service=IngressServiceBackend(name=service, port=ServiceBackendPort(name=HTTP)))
    tls = IngressTLS(hosts=[host], secretName=settings.tls_secret)
    return Ingress(
        metadata=about,
        spec=IngressSpec(
            ingressClassName=settings.class_name,
            tls=[tls] if settings.tls_secret else None,
            rules=[
                IngressRule(
                    host=host,
                    http=HTTPIngressRuleValue(
                        paths=[
                            HTTPIngressPath(
                                path=path, pathType="Prefix" if is_prefix else "Exact", backend=backend
                            )
                            for path, is_prefix in paths
                        ]
                    ),
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
    about = metadata(environment, environment.name, annotations=settings.annotations)
    return _http_route(settings, about, settings.host, backends, _public_paths(settings))


def ui_http_route(
    environment: Environment, settings: GatewaySettings, ui: UiSettings, host: str
) -> GenericNamespacedResource:
    """The route of the web client, from the same listener."""
    backends = [{"name": ui_name(environment), "port": environment.service.port}]
    return _http_route(settings, _ui_metadata(environment, settings, ui), host, backends, _ALL_PATHS)


def _http_route(
    settings: GatewaySettings,
    about: ObjectMeta,
    host: str,
    backends: Sequence[dict[str, Any]],
    paths: Sequence[tuple[str, bool]],
) -> GenericNamespacedResource:
    matches = [
        {"path": {"type": "PathPrefix" if is_prefix else "Exact", "value": path}} for path, is_prefix in paths
    ]
    listener = {"name": settings.name, "namespace": settings.namespace, "sectionName": settings.listener}
    return HTTPRoute(
        metadata=about,
        spec={
            "parentRefs": [listener],
            "hostnames": [host],
            "rules": [
                {"matches": matches[start : start + _MAX_MATCHES], "backendRefs": backends}
                for start in range(0, len(matches), _MAX_MATCHES)
            ],
        },
    )


def _ui_metadata(environment: Environment, settings: EntryPoint, ui: UiSettings) -> ObjectMeta:
    return metadata(
        environment,
        ui_name(environment),
        labels=ui_labels(environment),
        annotations=settings.annotations | ui.annotations,
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
