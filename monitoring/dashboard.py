"""The dashboard of Grafana, made from the rows of panels."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from monitoring.expressions import UP
from monitoring.panels import JOB, ROWS, VARIABLES, Diagram, Firing, Number, Panel, Query
from serving.telemetry.catalogue import MODEL_INFO

TITLE = "Text classifier"
TAG = "text-classifier"
DATASOURCE = "datasource"
"""The variable that names the Prometheus to ask."""
SECONDS_BETWEEN_SCRAPES = 15

_SOURCE = DataSourceRef(type_val="prometheus", uid=f"${{{DATASOURCE}}}")


@dataclass(frozen=True)
class Identity:
    """What tells the dashboard of one environment from that of another in the same Grafana."""

    uid: str
    """At most 40 characters, as Grafana demands."""
    title: str
    job: str
    """The job that the dashboard shows first."""


def dashboard_text(identity: Identity) -> str:
    """The dashboard as the JSON file that Grafana reads."""
    shown = VariableOption(selected=True, text=identity.job, value=identity.job)
    made = (
        builder.Dashboard(identity.title)
        .uid(identity.uid)
        .description("The text-classification service. docs/operations.md explains the metrics and alerts.")
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(builder.DatasourceVariable(DATASOURCE).label("Prometheus").type("prometheus"))
        .with_variable(_variable(JOB, f"label_values({MODEL_INFO.name}, {JOB})").current(shown))
    )
    for name in VARIABLES:
        chosen = _variable(name, f'label_values({UP}{{{JOB}="${JOB}"}}, {name})')
        # Series without the label are shown as well.
        made = made.with_variable(chosen.multi(True).include_all(True).all_value(".*"))
    ids = count(1)
    for row in ROWS:
        made = made.with_row(builder.Row(row.title).id(next(ids)))
        for panel in row.panels:
            made = made.with_panel(_PANELS[type(panel)](panel).id(next(ids)))
    # Sorted keys make the text the same on every run.
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def expressions() -> tuple[str, ...]:
    """Every expression of the dashboard, with Grafana's variables."""
    return tuple(query.expression for row in ROWS for panel in row.panels for query in panel.queries)


def _variable(name: str, query: str) -> builder.QueryVariable:
    return (
        builder.QueryVariable(name)
        .label(name)
        .datasource(_SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _diagram(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(8)
        .height(8)
        .interval(f"{SECONDS_BETWEEN_SCRAPES}s")
        .thresholds(_thresholds(panel))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        .legend(common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.maximum is not None:
        made = made.max(panel.maximum)
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(query, chr(ord("A") + number)).range())
    return made


def _number(panel: Panel) -> stat.Panel:
    return _stat(panel).span(3).height(4).text_mode(BigValueTextMode.AUTO)


def _firing(panel: Panel) -> stat.Panel:
    return _stat(panel).span(24).height(3).text_mode(BigValueTextMode.NAME)


def _stat(panel: Panel) -> stat.Panel:
    made = (
        stat.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .no_value(panel.nothing)
        .thresholds(_thresholds(panel))
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
    )
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(query, chr(ord("A") + number)).instant())
    return made


_PANELS: dict[type[Panel], Callable[[Panel], timeseries.Panel | stat.Panel]] = {
    Diagram: _diagram,
    Number: _number,
    Firing: _firing,
}


def _thresholds(panel: Panel) -> builder.ThresholdsConfig:
    given = {"green": None, "yellow": panel.warning, "red": panel.critical}
    steps = [
        Threshold(color=color, value=value)
        for color, value in given.items()
        if color == "green" or value is not None
    ]
    return builder.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _target(query: Query, ref_id: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(ref_id)
        .datasource(_SOURCE)
        .expr(query.expression)
        .legend_format(query.legend)
    )
