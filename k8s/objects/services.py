"""The Services: the addresses of the pods inside the cluster."""

from lightkube.models.core_v1 import ClientIPConfig, ServicePort, ServiceSpec, SessionAffinityConfig
from lightkube.resources.core_v1 import Service

from k8s.environment.sections import Environment
from k8s.objects.labels import (
    CANARY,
    HTTP,
    STABLE,
    TRACK,
    application_selector,
    canary_name,
    metadata,
    track_selector,
    ui_labels,
    ui_name,
    ui_selector,
)

AFFINITY_SECONDS = 3 * 3600
"""How long the requests of an address reach the same pod; Kubernetes' own default, written down."""


def service(environment: Environment) -> Service:
    """The address of the pods of both tracks, or of the stable track if a route splits requests by weight."""
    if environment.gateway is None:
        selector = application_selector(environment)
    else:
        selector = track_selector(environment, STABLE)
    settings = environment.service
    return Service(
        metadata=metadata(environment, environment.name, annotations=settings.annotations),
        spec=ServiceSpec(
            type=settings.type, selector=selector, ports=[_port(environment, settings.node_port)]
        ),
    )


def canary_service(environment: Environment) -> Service:
    """The address of the canary's pods, for a route that splits requests by weight."""
    return Service(
        metadata=metadata(
            environment,
            canary_name(environment),
            labels={TRACK: CANARY},
            annotations=environment.service.annotations,
        ),
        spec=ServiceSpec(
            type="ClusterIP", selector=track_selector(environment, CANARY), ports=[_port(environment)]
        ),
    )


def ui_service(environment: Environment) -> Service:
    """The address of the web client, which always leads a browser to the pod that has its session."""
    return Service(
        metadata=metadata(environment, ui_name(environment), labels=ui_labels(environment)),
        spec=ServiceSpec(
            type="ClusterIP",
            selector=ui_selector(environment),
            ports=[_port(environment)],
            sessionAffinity="ClientIP",
            sessionAffinityConfig=SessionAffinityConfig(
                clientIP=ClientIPConfig(timeoutSeconds=AFFINITY_SECONDS)
            ),
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
