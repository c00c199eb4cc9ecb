"""Configurations of Prometheus, Alertmanager and Grafana, for one machine with `compose.yaml`."""

from typing import Any

from monitoring.dashboard import SECONDS_BETWEEN_SCRAPES, TITLE, Identity
from serving.routes import METRICS

JOB = "text-classifier"
"""The job of the targets; `up` and all series of the service have it as their label."""
DASHBOARD = Identity(uid="text-classifier", title=TITLE, job=JOB)
MEMORY_BYTES = 512 * 1024**2
"""What compose.yaml allows the container."""
SERVICE = "text-classifier:3000"
PROMETHEUS = "prometheus:9090"
ALERTMANAGER = "alertmanager:9093"
"""Names and ports of the containers of compose.yaml."""

RULES_FILE = "rules.yaml"
DASHBOARDS_FOLDER = "/etc/grafana/dashboards"


def prometheus() -> dict[str, Any]:
    """Scrape the service, evaluate the rules, and send the alerts to Alertmanager."""
    return {
        "global": {
            "scrape_interval": f"{SECONDS_BETWEEN_SCRAPES}s",
            "scrape_timeout": "10s",
            "evaluation_interval": f"{SECONDS_BETWEEN_SCRAPES}s",
        },
        "rule_files": [RULES_FILE],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [ALERTMANAGER]}]}]},
        "scrape_configs": [
            {
                "job_name": JOB,
                "metrics_path": METRICS.path,
                "static_configs": [{"targets": [SERVICE]}],
            }
        ],
    }


def alertmanager() -> dict[str, Any]:
    """Group the alerts and hold back those that another one explains. The receivers send nothing yet."""
    return {
        "route": {
            "receiver": "tickets",
            "group_by": ["job", "alertname"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": [{"receiver": "pages", "matchers": ['severity="page"']}],
        },
        "receivers": [{"name": "pages"}, {"name": "tickets"}],
        "inhibit_rules": [
            {
                "source_matchers": ['severity="page"'],
                "target_matchers": ['severity="ticket"'],
                "equal": ["job", "alertname"],
            },
            {
                "source_matchers": ['alertname="TextClassifierAbsent"'],
                "target_matchers": ['alertname="TextClassifierTargetDown"'],
                "equal": ["job"],
            },
        ],
    }


def grafana_datasources() -> dict[str, Any]:
    """Let Grafana ask Prometheus."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "type": "prometheus",
                "uid": "prometheus",
                "access": "proxy",
                "url": f"http://{PROMETHEUS}",
                "isDefault": True,
                "jsonData": {"timeInterval": f"{SECONDS_BETWEEN_SCRAPES}s"},
            }
        ],
    }


def grafana_dashboards() -> dict[str, Any]:
    """Let Grafana read dashboards from a folder. Changes in the browser are not kept."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": JOB,
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "options": {"path": DASHBOARDS_FOLDER},
            }
        ],
    }
