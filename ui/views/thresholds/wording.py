"""Figures with their intervals as people read them, and their chart over all thresholds."""

from collections.abc import Mapping
from math import isnan

import plotly.graph_objects as go

from ui.charts import lines, with_mark
from ui.markup import percent
from ui.measures import Floats, Interval, f1_interval, wilson
from ui.views.thresholds.figures import THRESHOLDS

DRAWN = 5
"""One in so many thresholds is drawn, so that a chart is there at once when the slider moves."""


def share(part: int, whole: int) -> str:
    """A share of rows with its interval."""
    return f"{percent(part / whole)} ({between(wilson(part, whole))})" if whole else "not defined"


def f1(hits: int, errors: int) -> str:
    """F1 with its interval, of the true positives and of all rows with one of the two errors."""
    if not hits + errors:
        return "not defined"
    return f"{percent(2 * hits / (2 * hits + errors))} ({between(f1_interval(hits, errors))})"


def between(interval: Interval) -> str:
    """An interval of a share."""
    if isnan(interval.low):
        return "not known"
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"


def at_every_threshold(series: Mapping[str, Floats], x_title: str, chosen: float) -> go.Figure:
    """Shares at all thresholds, with a line at the chosen one."""
    shown = {name: (100 * values[::DRAWN]).tolist() for name, values in series.items()}
    figure = lines(THRESHOLDS[::DRAWN].tolist(), shown, x_title=x_title, y_title="% of the rows", height=380)
    return with_mark(figure, chosen)
