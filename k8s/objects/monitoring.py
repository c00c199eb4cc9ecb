"""The objects for Prometheus and Grafana: what is scraped, the rules, and the dashboard."""

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.resources.core_v1 import ConfigMap

from k8s.environment.sections import Environment, PodMonitorSettings
from k8s.environment.values import amount
from k8s.objects.labels import HTTP, TRACK, VERSION, application_selector, dashboard_name, metadata
from monitoring.alerts import groups
from monitoring.dashboard import dashboard_text
from monitoring.rules import rule_file
from serving.routes import METRICS

GRAFANA_LABEL = "grafana_dashboard"
"""The sidecar of Grafana's Helm chart reads the ConfigMaps with this label."""
DASHBOARD_FILE = "text-classifier.json"

PodMonitor = create_namespaced_resource("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")
PrometheusRule = create_namespaced_resource(
    "monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"
)


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


def prometheus_rule(environment: Environment) -> GenericNamespacedResource:
    """The recording rules and alerts for the pods of both tracks."""
    # The operator names the job of a PodMonitor in this way.
    job = f"{environment.namespace}/{environment.name}"
    memory_bytes = int(amount(environment.resources.limits.memory))
    return PrometheusRule(
        metadata=metadata(environment, environment.name), spec=rule_file(groups(job, memory_bytes))
    )


def dashboard(environment: Environment) -> ConfigMap:
    """The dashboard, for the sidecar of Grafana."""
    return ConfigMap(
        metadata=metadata(environment, dashboard_name(environment), labels={GRAFANA_LABEL: "1"}),
        data={DASHBOARD_FILE: dashboard_text()},
    )
