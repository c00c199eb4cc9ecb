"""The objects for Prometheus and Grafana: what is scraped, the rules, and the dashboard."""

from hashlib import sha256

from lightkube.generic_resource import GenericNamespacedResource, create_namespaced_resource
from lightkube.resources.core_v1 import ConfigMap

from k8s.environment.sections import Environment, PodMonitorSettings
from k8s.environment.values import amount
from k8s.objects.labels import HTTP, TRACK, VERSION, application_selector, dashboard_name, metadata
from monitoring.alerts import groups
from monitoring.dashboard import TAG, TITLE, Identity, dashboard_text
from monitoring.rules import rule_file
from serving.routes import METRICS

GRAFANA_LABEL = "grafana_dashboard"
"""The sidecar of Grafana's Helm chart reads the ConfigMaps with this label."""
UID_CHARACTERS = 12
"""Characters of a digest that tell the dashboards of environments apart."""

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


def prometheus_rule(environment: Environment, settings: PodMonitorSettings) -> GenericNamespacedResource:
    """The recording rules and alerts for the pods of both tracks."""
    memory_bytes = int(amount(environment.resources.limits.memory))
    return PrometheusRule(
        metadata=metadata(environment, environment.name),
        spec=rule_file(groups(_job(environment), memory_bytes), settings.runbook),
    )


def dashboard(environment: Environment) -> ConfigMap:
    """The dashboard, for the sidecar of Grafana, which writes those of all environments into one folder."""
    job = _job(environment)
    digest = sha256(job.encode()).hexdigest()[:UID_CHARACTERS]
    identity = Identity(uid=f"{TAG}-{digest}", title=f"{TITLE} {job}", job=job)
    return ConfigMap(
        metadata=metadata(environment, dashboard_name(environment), labels={GRAFANA_LABEL: "1"}),
        data={f"{environment.namespace}-{environment.name}.json": dashboard_text(identity)},
    )


def _job(environment: Environment) -> str:
    """The job that the operator makes of a PodMonitor."""
    return f"{environment.namespace}/{environment.name}"
