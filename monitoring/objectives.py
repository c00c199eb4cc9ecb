"""The service's objectives over 30 days, and the alerts when their error budgets are used up too fast.

The alerts follow chapter 5 of Google's "The Site Reliability Workbook": a burn rate of 1 uses up exactly
the budget of 30 days. Each alert needs its rate in a long window, so that it matters, and in a short one, so
that it ends soon after the fault has ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

from monitoring.expressions import SLOW_SECONDS, Series, Window
from monitoring.rules import Alert, Condition, Group, Recording, Severity

MIN_BAD = 10
"""Fewest failures or slow answers in the long window. So one failure among three requests alarms nobody, and
a service with few requests that fails them all still does."""

EXPLAINED = "{{ $labels.job }}: {{ $value | humanizePercentage }} of the requests to the model "


@dataclass(frozen=True)
class Objective:
    """A share of requests that must be good, and how those that are not are counted."""

    alert: str
    bad: str
    """What the bad requests are called in the names of the recorded series."""
    target: float
    all_rate: Callable[[Series, str, str], str]
    bad_rate: Callable[[Series, str, str], str]
    summary: str
    meaning: str

    @property
    def budget(self) -> float:
        """The share of requests that may be bad."""
        return 1 - self.target

    def rate(self, window: Window) -> str:
        """The name of the recorded series of bad requests each second."""
        return f"job:classifier_{self.bad}:rate{window.text}"

    def ratio(self, window: Window) -> str:
        """The name of the recorded series of the share of bad requests."""
        return f"job:classifier_{self.bad}:ratio_rate{window.text}"


@dataclass(frozen=True)
class Burn:
    """How fast a budget may be used up, and what happens beyond that."""

    severity: Severity
    rate: float
    long: Window
    short: Window


BURNS = (
    Burn("page", 14.4, Window("1h"), Window("5m")),
    Burn("page", 6, Window("6h"), Window("30m")),
    Burn("ticket", 3, Window("1d"), Window("2h")),
    Burn("ticket", 1, Window("3d"), Window("6h")),
)

AVAILABILITY = Objective(
    alert="TextClassifierFailing",
    bad="failures",
    target=0.999,
    all_rate=Series.requests,
    bad_rate=Series.failures,
    summary="Too many requests to the model fail or are refused",
    meaning="failed or were refused with a 5xx status",
)
LATENCY = Objective(
    alert="TextClassifierSlow",
    bad="slow_answers",
    target=0.99,
    all_rate=Series.answers,
    bad_rate=Series.slow_answers,
    summary="Too many answers of the model are slow",
    meaning=f"were answered, but took longer than {1000 * SLOW_SECONDS:g} ms",
)
OBJECTIVES = (AVAILABILITY, LATENCY)

WINDOWS = {window for burn in BURNS for window in (burn.long, burn.short)}
FAST, LAZY = "30s", "2m"
"""How often the shares of short and of long windows are recorded. Prometheus reads the last five minutes of
a recorded series, so the second is well below that."""
SHORT_SECONDS = 7200


def recordings(series: Series) -> tuple[Group, ...]:
    """The shares of bad requests in every window of every objective."""
    short = [window for window in WINDOWS if window.seconds <= SHORT_SECONDS]
    long = [window for window in WINDOWS if window.seconds > SHORT_SECONDS]
    return (
        Group("text-classifier-objectives-short", FAST, _recordings(series, short)),
        Group("text-classifier-objectives-long", LAZY, _recordings(series, long)),
    )


def _recordings(series: Series, windows: list[Window]) -> tuple[Recording, ...]:
    return tuple(
        recording
        for objective in OBJECTIVES
        for window in sorted(windows, key=lambda window: window.seconds)
        for recording in _recordings_of(objective, series, window)
    )


def _recordings_of(objective: Objective, series: Series, window: Window) -> tuple[Recording, Recording]:
    every = objective.all_rate(series, window.text, "job")
    return (
        Recording(objective.rate(window), objective.bad_rate(series, window.text, "job")),
        Recording(objective.ratio(window), f"{series.of(objective.rate(window))} / ({every} > 0)"),
    )


def burn_alerts(series: Series) -> tuple[Alert, ...]:
    """The alerts of all objectives; one with a higher burn rate comes before one with a lower."""
    return tuple(_burn_alert(objective, burn, series) for objective in OBJECTIVES for burn in BURNS)


def _burn_alert(objective: Objective, burn: Burn, series: Series) -> Alert:
    limit = f"{burn.rate * objective.budget:.6g}"
    many = f"{series.of(objective.rate(burn.long))} * {burn.long.seconds}"
    return Alert(
        name=objective.alert,
        severity=burn.severity,
        conditions=(
            Condition(series.of(objective.ratio(burn.long)), f"> {limit}"),
            Condition(series.of(objective.ratio(burn.short)), f"> {limit}"),
            Condition(many, f">= {MIN_BAD}"),
        ),
        hold="0s",
        summary=objective.summary,
        description=(
            f"{EXPLAINED}{objective.meaning} in the last {burn.long.text}. The objective allows "
            f"{100 * objective.budget:.3g} % over 30 days; this uses the budget up in {30 / burn.rate:.3g} "
            "days or faster."
        ),
        labels=(("window", burn.long.text),),
    )
