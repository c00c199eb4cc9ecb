"""The object that makes Prometheus scrape the pods."""

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource

from k8s.environment.sections import Environment, PodMonitorSettings
from k8s.objects.labels import HTTP, TRACK, VERSION, application_selector, metadata
from serving.routes import METRICS

PodMonitor = create_namespaced_resource("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")


def pod_monitor(environment: Environment, settings: PodMonitorSettings) -> GenericNamespacedResource:
    """Makes the Prometheus operator scrape each pod. Its track, and its version if known, become labels."""
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
