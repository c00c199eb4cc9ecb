"""The charts of all pages: one look, axes with units, and colours that colour-blind people can tell apart."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from ui.measures import ReliabilityBin

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
)
"""Okabe and Ito's palette."""

CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Lines also differ without colours."""

GREY = "#8A929A"
"""For what the data is compared with; it can be seen in both themes."""

SEQUENTIAL = ("#EAF3FA", "#8ABCDE", "#3E8DC3", "#0B639C", "#023A61")
"""From no rows to many."""

MAX_NUMBERS = 12
"""With more labels than these, the cells of a confusion matrix have no room for numbers."""

MAX_NAME_CHARS = 30
"""Most characters of a label on an axis."""

MAX_POINTS = 200
"""A curve is drawn with at most so many points."""

_TEMPLATE = go.layout.Template(
    layout={
        "margin": {"l": 8, "r": 8, "t": 32, "b": 8},
        "font": {"size": 13},
        "colorway": CYCLE,
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"automargin": True, "zeroline": False, "title": {"standoff": 8}},
        "yaxis": {"automargin": True, "rangemode": "tozero", "title": {"standoff": 8}},
        "bargap": 0.25,
    }
)
_CONFIG = {"displayModeBar": False, "scrollZoom": False}


def show_chart(figure: go.Figure, title: str, sentence: str, *, key: str) -> None:
    """Show a chart with its title and a sentence that says what it shows, for screen readers as well."""
    st.subheader(title, anchor=False)
    st.plotly_chart(figure, config=_CONFIG, key=key, alt=sentence)
    st.caption(sentence)


def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    x_title: str,
    y_title: str,
    height: int = 260,
) -> go.Figure:
    """A line for each series over the same places."""
    figure = _figure(x_title, y_title, height)
    for place, (name, values) in enumerate(series.items()):
        style = {"color": CYCLE[place % len(CYCLE)], "dash": DASHES[place % len(DASHES)], "width": 2}
        figure.add_scatter(x=list(x), y=list(values), name=_literal(name), mode="lines", line=style)
    figure.update_layout(showlegend=len(series) > 1)
    if len(x) > 1:
        figure.update_xaxes(range=[min(x), max(x)])
    return figure


def bars(
    names: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    x_title: str,
    y_title: str,
    height: int = 260,
) -> go.Figure:
    """Bars of each series next to each other, for each name."""
    figure = _figure(x_title, y_title, height)
    for place, (name, values) in enumerate(series.items()):
        figure.add_bar(
            x=list(map(_literal, names)),
            y=list(values),
            name=_literal(name),
            marker_color=CYCLE[place % len(CYCLE)],
        )
    figure.update_layout(showlegend=len(series) > 1)
    figure.update_xaxes(type="category")
    return figure


def with_mark(figure: go.Figure, x: float) -> go.Figure:
    """The figure with a vertical line at one place."""
    figure.add_vline(x=x, line={"color": GREY, "dash": "dot", "width": 2})
    return figure


def curve(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    x_title: str,
    y_title: str,
    point: tuple[float, float],
    chance: tuple[float, float],
    height: int = 300,
) -> go.Figure:
    """A curve in percent with the point of the chosen threshold.

    `chance` is the height, at the left and at the right, of the line of a model that knows nothing.
    """
    figure = _figure(x_title, y_title, height)
    places = np.unique(np.linspace(0, len(x) - 1, MAX_POINTS).astype(int))
    names = ("without knowledge", "model", "chosen threshold")
    figure.add_scatter(
        x=[0, 100], y=_percent(chance), name=names[0], mode="lines", line={"color": GREY, "dash": "dot"}
    )
    figure.add_scatter(
        x=100 * x[places], y=100 * y[places], name=names[1], mode="lines", line={"color": BLUE, "width": 2}
    )
    figure.add_scatter(
        x=[100 * point[0]],
        y=[100 * point[1]],
        name=names[2],
        mode="markers",
        marker={"color": VERMILION, "size": 11, "symbol": "diamond"},
    )
    figure.update_xaxes(range=[-1, 101])
    figure.update_yaxes(range=[-1, 103])
    figure.update_layout(hovermode="closest")
    return figure


def reliability_diagram(bins: Sequence[ReliabilityBin], *, x_title: str, y_title: str) -> go.Figure:
    """Shares against probabilities in percent, with intervals, above the number of rows of each bin."""
    figure = _figure("", y_title, 380)
    x = _percent([one.probability for one in bins])
    shares = [one.share for one in bins]
    figure.add_scatter(
        x=[0, 100], y=[0, 100], name="perfect", mode="lines", line={"color": GREY, "dash": "dot"}
    )
    figure.add_scatter(
        x=x,
        y=_percent(shares),
        name="model, with the 95 % interval",
        mode="markers",
        marker={"color": BLUE, "size": 7},
        error_y={
            "array": _percent([one.interval.high - one.share for one in bins]),
            "arrayminus": _percent([one.share - one.interval.low for one in bins]),
            "thickness": 1.5,
        },
    )
    figure.add_bar(
        x=x,
        y=[one.rows for one in bins],
        name="rows",
        marker_color=SKY,
        width=3,
        yaxis="y2",
        showlegend=False,
    )
    figure.update_layout(
        yaxis={"domain": [0.34, 1], "range": [-2, 104]},
        yaxis2={"domain": [0, 0.22], "title": {"text": "rows"}, "rangemode": "tozero", "nticks": 3},
        hovermode="closest",
    )
    figure.update_xaxes(range=[-1, 101], title_text=_literal(x_title), anchor="y2")
    return figure


def confusion_matrix(counts: NDArray[np.int64], true: Sequence[str], predicted: Sequence[str]) -> go.Figure:
    """Rows by right label (down) and predicted label (across), coloured by their share of the line."""
    figure = _figure("predicted", "right", max(220, 110 + 34 * len(true)))
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    figure.add_heatmap(
        z=shares,
        x=list(range(len(predicted))),
        y=list(range(len(true))),
        text=[
            [f"{count:,} ({share:.1f} %)" for count, share in zip(*line, strict=True)]
            for line in zip(counts.tolist(), shares.tolist(), strict=True)
        ],
        texttemplate="%{text}" if len(true) <= MAX_NUMBERS else None,
        hovertemplate="right: %{y}<br>predicted: %{x}<br>%{text}<extra></extra>",
        zmin=0,
        zmax=100,
        colorscale=SEQUENTIAL,
        xgap=2,
        ygap=2,
        colorbar={"title": {"text": "% of the line"}, "thickness": 12},
        showscale=len(true) > MAX_NUMBERS,
    )
    # Two labels may differ only in what a category leaves out, so the axes have numbers with names.
    figure.update_xaxes(tickvals=list(range(len(predicted))), ticktext=_short(predicted), showgrid=False)
    figure.update_yaxes(
        tickvals=list(range(len(true))), ticktext=_short(true), showgrid=False, autorange="reversed"
    )
    figure.update_layout(hovermode="closest")
    return figure


def _short(names: Sequence[str]) -> list[str]:
    """Names for an axis."""
    return [
        _literal(name if len(name) <= MAX_NAME_CHARS else f"{name[: MAX_NAME_CHARS - 1]}…") for name in names
    ]


def _literal(text: str) -> str:
    """The text for Plotly, which reads HTML in names and titles."""
    return escape(text, quote=False)


def _percent(values: Sequence[float]) -> list[float]:
    return [100 * value for value in values]


def _figure(x_title: str, y_title: str, height: int) -> go.Figure:
    figure = go.Figure(layout={"template": _TEMPLATE, "height": height})
    figure.update_xaxes(title_text=_literal(x_title))
    figure.update_yaxes(title_text=_literal(y_title))
    return figure
