"""The rules, the dashboard and their page: they come from the list of metrics and fit together."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.app import app
from monitoring import configuration, dashboard, panels
from monitoring.alerts import groups
from monitoring.expressions import MODEL_ROUTES, PROCESS, SLOW_SECONDS, UP
from monitoring.metric_table import PAGE
from monitoring.objectives import BURNS, LAZY, OBJECTIVES
from monitoring.rendering import RENDERED, StaleMonitoring, check, rendered_files
from monitoring.rules import Alert, Recording
from serving.routes import ROUTES
from serving.telemetry import catalogue

ROOT = Path(__file__).parents[2]
JOB = "some-job"
GROUPS = groups(JOB, memory_bytes=1000)
RULES = [rule for group in GROUPS for rule in group.rules]
ALERTS = [rule for rule in RULES if isinstance(rule, Alert)]
RECORDINGS = [rule for rule in RULES if isinstance(rule, Recording)]
PANELS = [panel for row in panels.ROWS for panel in row.panels]

LOOKBACK_SECONDS = 300
"""How old a sample may be that Prometheus still uses."""


def names_in(expression: str) -> set[str]:
    """The names of series, which are the words before the braces."""
    return set(re.findall(r"([\w:]+)\{", expression))


def labels_in(expression: str) -> set[str]:
    return set(re.findall(r'[{,](\w+)(?:=~|!=|=)"', expression))


# Names


SERIES = {name for metric in catalogue.METRICS for name in metric.series} | {UP, *PROCESS}
RECORDED = {rule.record for rule in RECORDINGS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: getattr(rule, "record", None) or rule.name)
def test_a_rule_reads_only_series_that_there_are(rule: Recording | Alert) -> None:
    names = names_in(rule.expression)
    assert names
    assert names <= SERIES | RECORDED


def test_a_panel_reads_only_series_that_there_are() -> None:
    names = {name for expression in dashboard.expressions() for name in names_in(expression)}
    assert names <= SERIES | RECORDED


def test_each_metric_of_the_catalogue_is_in_the_dashboard() -> None:
    shown = {name for expression in dashboard.expressions() for name in names_in(expression)}
    assert [metric.name for metric in catalogue.METRICS if not shown & set(metric.series)] == []


def test_expressions_choose_series_by_labels_that_they_have() -> None:
    known = {label for metric in catalogue.METRICS for label in metric.labels}
    known |= {"le", panels.JOB, *panels.VARIABLES}
    expressions = [*dashboard.expressions(), *(rule.expression for rule in RULES)]
    assert {label for expression in expressions for label in labels_in(expression)} <= known


def test_the_paths_of_the_model_are_no_regular_expressions() -> None:
    assert len(MODEL_ROUTES) == len({route.path for route in ROUTES if route.group == "Predictions"})
    assert all(re.fullmatch(r"[\w/-]+", path) for path in MODEL_ROUTES)


def test_a_recorded_series_is_young_enough_when_an_alert_reads_it() -> None:
    assert LAZY.endswith("m")
    assert 2 * 60 * int(LAZY[:-1]) < LOOKBACK_SECONDS


# Alerts


def test_every_rule_is_about_one_job() -> None:
    assert all(f'job="{JOB}"' in rule.expression for rule in RULES)


def test_each_recorded_series_is_read_and_each_that_is_read_is_recorded() -> None:
    read = {name for rule in RULES for name in names_in(rule.expression) if ":" in name}
    assert read == RECORDED


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.alert)
def test_the_limits_are_the_burn_rates_times_the_budget(objective) -> None:
    limits = [alert.conditions[0].comparison for alert in ALERTS if alert.name == objective.alert]
    assert [float(limit.removeprefix("> ")) for limit in limits] == pytest.approx(
        [burn.rate * (1 - objective.target) for burn in BURNS]
    )


def test_an_objective_counts_up_to_the_bound_of_a_bucket() -> None:
    assert SLOW_SECONDS in catalogue.REQUEST_DURATION.buckets
    assert panels.CONFIDENT in catalogue.CONFIDENCE.buckets


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_its_paragraph_in_the_runbook(alert: Alert) -> None:
    path, _, anchor = alert.runbook.partition("#")
    headings = re.findall(r"^### (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}


def test_the_runbook_has_no_paragraph_of_an_alert_that_does_not_exist() -> None:
    headings = re.findall(r"^### (TextClassifier\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted({alert.name for alert in ALERTS})


def test_the_runbook_names_panels_that_the_dashboard_has() -> None:
    _, _, runbook = PAGE.read_text(encoding="utf-8").partition("\n## Alerts\n")
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", runbook))
    titles = {panel.title for panel in PANELS}
    assert len(named) > 10
    assert [name for name in named if not any(title.startswith(name) for title in titles)] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_what_it_found(alert: Alert) -> None:
    assert alert.severity in ("page", "ticket")
    assert JOB in alert.description or "{{ $labels.job }}" in alert.description
    assert alert.summary[0].isupper()
    assert not alert.summary.endswith(".")


def test_without_a_limit_there_is_no_alert_about_memory() -> None:
    names = {rule.name for group in groups(JOB) for rule in group.rules if isinstance(rule, Alert)}
    assert {alert.name for alert in ALERTS} - names == {"TextClassifierMemory"}


# The dashboard


def test_a_panel_has_a_unit_and_a_description_and_a_title_of_its_own() -> None:
    assert [panel.title for panel in PANELS if not (panel.unit and panel.description.endswith("."))] == []
    assert len({panel.title for panel in PANELS}) == len(PANELS)


def test_grafana_gets_all_panels_and_queries_in_their_rows() -> None:
    made = json.loads(dashboard.dashboard_text())["panels"]
    rows = [panel["title"] for panel in made if panel["type"] == "row"]
    assert rows == [row.title for row in panels.ROWS]
    queries = [target["expr"] for panel in made for target in panel.get("targets", ())]
    assert queries == list(dashboard.expressions())
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made}) == len(made)


def test_grafana_asks_for_the_datasource_the_job_and_the_targets() -> None:
    variables = json.loads(dashboard.dashboard_text())["templating"]["list"]
    assert [one["name"] for one in variables] == ["datasource", panels.JOB, *panels.VARIABLES]
    used = {name for text in dashboard.expressions() for name in re.findall(r"\$(\w+)", text)}
    assert used == {panels.JOB, *panels.VARIABLES, "__rate_interval"}


# Files


def test_the_rendered_files_and_the_table_of_metrics_are_not_stale() -> None:
    check()


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    for name, text in rendered_files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    check(tmp_path)
    (tmp_path / "rules.yaml").write_text("groups: []\n", encoding="utf-8")
    (tmp_path / "left-over.yaml").touch()
    with pytest.raises(
        StaleMonitoring, match=r"is stale: left-over\.yaml, rules\.yaml; `text-classifier mon"
    ):
        check(tmp_path)


def test_the_command_fails_if_a_file_is_stale(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["monitoring", "--check", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert isinstance(done.exception, StaleMonitoring)


def test_compose_mounts_each_rendered_file() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    mounted = {
        Path(volume.partition(":")[0]).name
        for service in services.values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    }
    assert mounted == {path.name for path in RENDERED.iterdir()}


def test_compose_runs_the_service_alone_unless_the_profile_is_given() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert {name for name, service in services.items() if "profiles" not in service} == {"text-classifier"}
    assert {str(service.get("profiles")) for service in services.values()} == {"None", "['monitoring']"}


def test_compose_and_the_rules_agree_on_the_memory_of_the_service() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert services["text-classifier"]["mem_limit"] == f"{configuration.MEMORY_BYTES // 1024**2}m"


@pytest.mark.parametrize(
    "target", [configuration.SERVICE, configuration.PROMETHEUS, configuration.ALERTMANAGER]
)
def test_the_configurations_name_containers_and_ports_of_compose(target: str) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    name, _, port = target.partition(":")
    assert [one for one in services[name]["ports"] if one.endswith(f":{port}")]


def test_the_configurations_of_log_shippers_on_the_page_are_yaml() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    trees = [yaml.safe_load(block) for block in blocks]
    assert [next(iter(tree)) for tree in trees] == ["pipeline", "server", "filebeat.inputs"]
