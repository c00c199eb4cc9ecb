"""The rules, the dashboard and their page: they come from the list of metrics and fit together."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from classifier.errors import Refusal
from cli.app import app
from monitoring import configuration, dashboard, panels
from monitoring.alerts import groups
from monitoring.expressions import ALERTS as FIRING_ALERTS
from monitoring.expressions import CLIENTS_FAULTS, MODEL_ROUTES, PROCESS, SLOW_SECONDS, UP
from monitoring.metric_table import PAGE
from monitoring.objectives import BURNS, LAZY, OBJECTIVES
from monitoring.rendering import RENDERED, StaleMonitoring, check, rendered_files
from monitoring.rules import RUNBOOK, Alert, NotARunbookUrl, Recording, published_runbook
from serving.routes import ROUTES
from serving.telemetry import catalogue

ROOT = Path(__file__).parents[2]
JOB = "some-job"
GROUPS = groups(JOB, memory_bytes=1000)
RULES = [rule for group in GROUPS for rule in group.rules]
ALERTS = [rule for rule in RULES if isinstance(rule, Alert)]
RECORDINGS = [rule for rule in RULES if isinstance(rule, Recording)]
PANELS = [panel for row in panels.ROWS for panel in row.panels]

DASHBOARD_TEXT = dashboard.dashboard_text(configuration.DASHBOARD)

LOOKBACK_SECONDS = 300
"""How old a sample may be that Prometheus still uses."""


def names_in(expression: str) -> set[str]:
    """The names of series, which are the words before the braces."""
    return set(re.findall(r"([\w:]+)\{", expression))


def labels_in(expression: str) -> set[str]:
    return set(re.findall(r'[{,](\w+)(?:=~|!=|=)"', expression))


# Names


SERIES = {name for metric in catalogue.METRICS for name in metric.series} | {UP, FIRING_ALERTS, *PROCESS}
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
    known |= {"le", "alertstate", panels.JOB, *panels.VARIABLES}
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
    path, _, anchor = alert.document(RUNBOOK)["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^### (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}


def test_the_runbook_has_no_paragraph_of_an_alert_that_does_not_exist() -> None:
    headings = re.findall(r"^### (TextClassifier\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted({alert.name for alert in ALERTS})


def test_the_runbook_names_panels_that_the_dashboard_has() -> None:
    _, _, runbook = PAGE.read_text(encoding="utf-8").partition("\n## Alerts\n")
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", runbook))
    assert len(named) > 10
    assert named - {panel.title for panel in PANELS} == set()


def test_the_page_has_each_reason_of_a_refusal_where_the_metrics_are_and_in_the_runbook() -> None:
    metrics, _, runbook = PAGE.read_text(encoding="utf-8").partition("\n## Alerts\n")
    for text, before in ((metrics, "| reason | what happened | status |"), (runbook, "| reason | bound |")):
        table = text.partition(before)[2].partition("\n\n")[0]
        cells = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
        assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(Refusal)


def test_the_alert_about_refusals_leaves_out_the_faults_of_clients() -> None:
    (alert,) = [alert for alert in ALERTS if alert.name == "TextClassifierRefusing"]
    assert set(CLIENTS_FAULTS) == {Refusal.SLOW_CLIENT, Refusal.CLIENT_TIMEOUT}
    assert all('reason!~"slow_client|client_timeout"' in str(one) for one in alert.conditions)


def test_no_command_of_the_page_reads_the_log_of_one_pod_of_several() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"kubectl (?:logs|exec) deployment/.*", page) == []
    assert len(re.findall(r"kubectl logs --selector app\.kubernetes\.io/name=text-classifier", page)) > 4
    assert re.findall(r"--prefix.*\| jq", page) == []


def test_an_alert_names_its_paragraph_at_the_address_of_the_published_page() -> None:
    page = published_runbook("https://wiki.example.com/operations")
    (alert,) = [alert for alert in ALERTS if alert.name == "TextClassifierDrift"]
    annotations = alert.document(page)["annotations"]
    assert annotations["runbook_url"] == "https://wiki.example.com/operations#textclassifierdrift"
    assert "runbook" not in annotations


@pytest.mark.parametrize(
    "url", ["docs/operations.md", "https://", "https://example.com/page#part", "ftp://a/b"]
)
def test_the_address_of_the_published_page_must_be_a_url(url: str) -> None:
    with pytest.raises(NotARunbookUrl, match=r"it must begin with http:// or https:// and have no '#'"):
        published_runbook(url)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_what_it_found(alert: Alert) -> None:
    assert alert.severity in ("page", "ticket")
    assert JOB in alert.description or "{{ $labels.job }}" in alert.description
    assert alert.summary[0].isupper()
    assert not alert.summary.endswith(".")


def test_without_a_limit_there_is_no_alert_about_memory() -> None:
    names = {rule.name for group in groups(JOB) for rule in group.rules if isinstance(rule, Alert)}
    assert {alert.name for alert in ALERTS} - names == {"TextClassifierMemory"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_an_alert_that_keeps_the_address_of_a_target_keeps_its_pod(alert: Alert) -> None:
    kept = [set(by.split(", ")) for by in re.findall(r"by \(([^)]*)\)", alert.expression)]
    assert all("pod" in labels for labels in kept if "instance" in labels)
    assert ("$labels.pod" in alert.description) == ("$labels.instance" in alert.description)


# The dashboard


def test_a_panel_has_a_unit_and_a_description_and_a_title_of_its_own() -> None:
    assert [panel.title for panel in PANELS if not (panel.unit and panel.description.endswith("."))] == []
    assert len({panel.title for panel in PANELS}) == len(PANELS)


def test_grafana_gets_all_panels_and_queries_in_their_rows() -> None:
    made = json.loads(DASHBOARD_TEXT)["panels"]
    rows = [panel["title"] for panel in made if panel["type"] == "row"]
    assert rows == [row.title for row in panels.ROWS]
    queries = [target["expr"] for panel in made for target in panel.get("targets", ())]
    assert queries == list(dashboard.expressions())
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made}) == len(made)
    assert sorted(panel["id"] for panel in made) == list(range(1, len(made) + 1))


def test_a_legend_has_text_also_without_a_track() -> None:
    by_track = [query for panel in PANELS for query in panel.queries if "{{track}}" in query.legend]
    assert by_track
    assert all(query.expression.startswith("label_replace(") for query in by_track)
    assert [panel.title for panel in PANELS for query in panel.queries if not query.legend.strip()] == []


def test_the_overview_shows_values_of_now_and_the_diagrams_show_their_course() -> None:
    made = json.loads(DASHBOARD_TEXT)["panels"]
    overview = panels.ROWS[0]
    for panel in (panel for panel in made if panel["type"] != "row"):
        is_overview = panel["title"] in {one.title for one in overview.panels}
        assert panel["type"] == ("stat" if is_overview else "timeseries")
        assert all(target.get("instant", False) == is_overview for target in panel["targets"])
    assert all(panel.nothing for panel in overview.panels)


def test_grafana_asks_for_the_datasource_the_job_and_the_targets() -> None:
    variables = json.loads(DASHBOARD_TEXT)["templating"]["list"]
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


def test_the_command_takes_the_address_of_the_published_page(tmp_path: Path) -> None:
    arguments = ["monitoring", "--out", str(tmp_path), "--runbooks", "https://wiki.example.com/operations"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert CliRunner().invoke(app, [*arguments, "--check"]).exit_code == 0
    rules = (tmp_path / "rules.yaml").read_text(encoding="utf-8")
    assert rules.count("runbook_url: https://wiki.example.com/operations#") == len(ALERTS)
    assert CliRunner().invoke(app, ["monitoring", "--out", str(tmp_path), "--check"]).exit_code == 1


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


def test_compose_runs_only_the_service_and_its_web_client_unless_the_profile_is_given() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert {name for name, service in services.items() if "profiles" not in service} == {
        "text-classifier",
        "ui",
    }
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
    fluent_bit, filebeat = trees
    parsers = {parser["name"] for parser in fluent_bit["parsers"]}
    assert {filter_["parser"] for filter_ in fluent_bit["pipeline"]["filters"]} == parsers
    # Filebeat ignores the name of the index while it manages the life cycle of indexes.
    assert filebeat["output.elasticsearch"]["index"]
    assert filebeat["setup.ilm.enabled"] is False
