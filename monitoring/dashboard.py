"""The dashboard of Grafana, made from the rows of panels."""

import json

from grafana_foundation_sdk.builders import common, prometheus, timeseries
from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

from monitoring.expressions import UP
from monitoring.panels import JOB, ROWS, VARIABLES, Panel, Query
from serving.telemetry.catalogue import MODEL_INFO

TITLE = "Text classifier"
UID = "text-classifier"
WIDTH, HEIGHT = 8, 8
"""Of a panel, in units of Grafana's grid, which is 24 wide."""
DATASOURCE = "datasource"
"""The variable that names the Prometheus to ask."""
SECONDS_BETWEEN_SCRAPES = 15

_SOURCE = DataSourceRef(type_val="prometheus", uid=f"${{{DATASOURCE}}}")


def dashboard_text() -> str:
    """The dashboard as the JSON file that Grafana reads."""
    made = (
        builder.Dashboard(TITLE)
        .uid(UID)
        .description("The text-classification service. docs/operations.md explains the metrics and alerts.")
        .tags([UID])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(builder.DatasourceVariable(DATASOURCE).label("Prometheus").type("prometheus"))
        .with_variable(_variable(JOB, f"label_values({MODEL_INFO.name}, {JOB})"))
    )
    for name in VARIABLES:
        chosen = _variable(name, f'label_values({UP}{{{JOB}="${JOB}"}}, {name})')
        # Series without the label are shown as well.
        made = made.with_variable(chosen.multi(True).include_all(True).all_value(".*"))
    for row in ROWS:
        made = made.with_row(builder.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_panel(panel))
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


def _panel(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(WIDTH)
        .height(HEIGHT)
        .interval(f"{SECONDS_BETWEEN_SCRAPES}s")
        .thresholds(builder.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(_steps(panel)))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        .legend(common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if panel.maximum is not None:
        made = made.max(panel.maximum)
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(query, chr(ord("A") + number)))
    return made


def _steps(panel: Panel) -> list[Threshold]:
    steps = {"green": None, "yellow": panel.warning, "red": panel.critical}
    return [
        Threshold(color=color, value=value)
        for color, value in steps.items()
        if color == "green" or value is not None
    ]


def _target(query: Query, ref_id: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(ref_id)
        .datasource(_SOURCE)
        .expr(query.expression)
        .legend_format(query.legend)
        .range()
    )
