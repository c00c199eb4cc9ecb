"""The alerts for everything besides the objectives, and the groups of all rules."""

from monitoring.expressions import (
    MEMORY_BYTES,
    OF_MODEL,
    SERVICES_REASONS,
    START_TIME,
    TARGET,
    UP,
    Series,
    total,
)
from monitoring.objectives import FAST, burn_alerts, recordings
from monitoring.rules import Alert, Condition, Group
from serving.telemetry import catalogue

DAY_SECONDS = 86_400
MAX_MODEL_DAYS = 180
MIN_REQUESTS_AN_HOUR = 60
"""A service that gets fewer is not missed when it gets none for an hour."""
MIN_FAILURES = 10
MIN_REFUSALS = 30
"""Fewest refusals for the same reason in five minutes that somebody should look at."""
SHOWN_TARGET = "{{ $labels.instance }}{{ with $labels.pod }} (pod {{ . }}){{ end }}"
"""The target in the text of an alert; its pod is named if it is known."""


def groups(job: str, memory_bytes: int | None = None) -> tuple[Group, ...]:
    """All rules for the targets of one job.

    `memory_bytes`: the most memory that a target may use; without it, no alert says that one comes near it.
    """
    series = Series((f'job="{job}"',))
    alerts = (
        *burn_alerts(series),
        *_failures(series),
        *_bounds(series),
        *_targets(series, job),
        *_processes(series, memory_bytes),
        *_model(series),
    )
    return (*recordings(series), Group("text-classifier-alerts", FAST, alerts))


def _failures(series: Series) -> tuple[Alert, ...]:
    by_track = f"{series.failures('15m', 'job, track')} / ({series.requests('15m', 'job, track')} > 0)"
    together = f"({series.failures('15m', 'job')} / ({series.requests('15m', 'job')} > 0))"
    failed = series.increase(catalogue.FAILED_BATCHES.name, "1h")
    isolated = series.increase(catalogue.ISOLATED_TEXTS.name, "1h")
    return (
        Alert(
            name="TextClassifierTrackFailing",
            severity="ticket",
            conditions=(
                Condition(by_track, "> 0.01"),
                Condition(f"{series.failures('15m', 'job, track')} * 900", f">= {MIN_FAILURES}"),
                Condition(f"({by_track}) / on (job) group_left () {together}", "> 1.5"),
            ),
            hold="2m",
            summary="One track fails more requests than the others",
            description=(
                "{{ $labels.job }}: the track {{ $labels.track }} failed or refused "
                "{{ $value | humanizePercentage }} of its requests to the model in the last 15 minutes, "
                "which is more than 1.5 times the share of all tracks together."
            ),
        ),
        Alert(
            name="TextClassifierBatchesFail",
            severity="ticket",
            conditions=(Condition(f"sum by (job) ({failed}) + sum by (job) ({isolated})", "> 0"),),
            hold="0s",
            summary="The model raised an error",
            description=(
                '{{ $labels.job }}: about {{ $value | printf "%.0f" }} batches and single texts failed in '
                "the last hour. The clients of the single texts got status 500."
            ),
        ),
    )


def _bounds(series: Series) -> tuple[Alert, ...]:
    refused = series.increase(catalogue.REFUSALS.name, "5m", SERVICES_REASONS)
    by_reason = f"sum by (job, reason) ({refused})"
    every = f"sum by (job) ({series.increase(catalogue.REQUESTS.name, '5m')})"
    used = f"avg_over_time({series.of(catalogue.SATURATION.name)}[10m])"
    return (
        Alert(
            name="TextClassifierRefusing",
            severity="ticket",
            conditions=(
                Condition(by_reason, f">= {MIN_REFUSALS}"),
                Condition(f"{by_reason} / on (job) group_left () {every}", "> 0.01"),
            ),
            hold="15m",
            summary="Requests are refused for the same reason again and again",
            description=(
                '{{ $labels.job }}: {{ $value | printf "%.0f" }} requests were refused for the reason '
                "{{ $labels.reason }} in the last 5 minutes. This is more than 1 % of all requests, and it "
                "has lasted for 15 minutes."
            ),
        ),
        Alert(
            name="TextClassifierSaturated",
            severity="ticket",
            conditions=(Condition(f"max by (job, {TARGET}, resource) ({used})", "> 0.8"),),
            hold="5m",
            summary="A bounded resource is nearly used up",
            description=(
                f"{{{{ $labels.job }}}}: averaged over ten minutes, {SHOWN_TARGET} used "
                "{{ $value | humanizePercentage }} of {{ $labels.resource }}. At 100 % it refuses requests."
            ),
        ),
    )


def _targets(series: Series, job: str) -> tuple[Alert, ...]:
    up = series.of(UP)
    answering = f"max by (job, {TARGET}) ({up})"
    measured = f"group by (job, {TARGET}) ({series.of(catalogue.MODEL_INFO.name)})"
    now, yesterday, last_week = (
        f"sum by (job) ({series.increase(catalogue.REQUESTS.name, '1h', OF_MODEL, before=before)})"
        for before in ("0s", "1d", "7d")
    )
    usual = f">= {MIN_REQUESTS_AN_HOUR}"
    return (
        Alert(
            name="TextClassifierAbsent",
            severity="page",
            conditions=(Condition(f"sum({up}) or vector(0)", "== 0"),),
            hold="5m",
            summary="Prometheus can scrape no target of the service",
            description=f"{job}: no target answers Prometheus, or there is none.",
            labels=(("job", job),),
        ),
        Alert(
            name="TextClassifierTargetDown",
            severity="ticket",
            conditions=(Condition(up, "== 0"),),
            hold="5m",
            summary="Prometheus cannot scrape a target of the service",
            description=f"{{{{ $labels.job }}}}: {SHOWN_TARGET} has not answered for 5 minutes.",
        ),
        Alert(
            name="TextClassifierUnmeasured",
            severity="ticket",
            conditions=(Condition(f"{answering} - ({measured} or 0 * {answering})", "> 0"),),
            hold="10m",
            summary="A target answers Prometheus without the metrics of a model",
            description=(
                f"{{{{ $labels.job }}}}: {SHOWN_TARGET} answers Prometheus, but has no "
                f"{catalogue.MODEL_INFO.name}, so no other alert can see it."
            ),
        ),
        Alert(
            name="TextClassifierNoTraffic",
            severity="ticket",
            # Both days are asked, because many services have no traffic at night or on Sundays.
            conditions=(Condition(now, "== 0"), Condition(yesterday, usual), Condition(last_week, usual)),
            hold="10m",
            summary="The service gets no requests at a time at which it usually does",
            description=(
                "{{ $labels.job }}: no request to the model in the last hour; at the same time "
                f"yesterday and a week ago there were at least {MIN_REQUESTS_AN_HOUR}."
            ),
        ),
    )


def _processes(series: Series, memory_bytes: int | None) -> tuple[Alert, ...]:
    late = series.quantile(0.99, catalogue.EVENT_LOOP_LAG, "10m", f"job, {TARGET}")
    pauses = f"sum by (job, {TARGET}) ({series.rate(total(catalogue.GC_PAUSE), '10m')})"
    memory = Alert(
        name="TextClassifierMemory",
        severity="ticket",
        conditions=(Condition(f"{series.of(MEMORY_BYTES)} / {memory_bytes}", "> 0.8"),),
        hold="10m",
        summary="A worker process uses nearly all memory that its container may use",
        description=(
            f"{{{{ $labels.job }}}}: the worker of {SHOWN_TARGET} uses "
            "{{ $value | humanizePercentage }} of the container's memory. Its parent process needs some as "
            "well. Beyond the limit, the kernel kills it."
        ),
    )
    return (
        Alert(
            name="TextClassifierRestarts",
            severity="ticket",
            conditions=(Condition(f"changes({series.of(START_TIME)}[1h])", ">= 2"),),
            hold="0s",
            summary="The worker process was started again several times",
            description=(
                f"{{{{ $labels.job }}}}: the worker of {SHOWN_TARGET} was replaced "
                "{{ $value }} times in the last hour. It died, hung, or its container was restarted."
            ),
        ),
        Alert(
            name="TextClassifierEventLoopLate",
            severity="ticket",
            conditions=(Condition(late, "> 0.25"),),
            hold="10m",
            summary="The event loop lags",
            description=(
                f"{{{{ $labels.job }}}}: on {SHOWN_TARGET}, one of a hundred timers ran at least "
                "{{ $value | humanizeDuration }} late. No request is answered in such a time, not even a "
                "probe."
            ),
        ),
        Alert(
            name="TextClassifierGarbageCollection",
            severity="ticket",
            conditions=(Condition(pauses, "> 0.05"),),
            hold="15m",
            summary="Garbage collection takes much time",
            description=(
                f"{{{{ $labels.job }}}}: {SHOWN_TARGET} spends "
                "{{ $value | humanizePercentage }} of its time in garbage collection, and answers no request "
                "meanwhile."
            ),
        ),
        *(() if memory_bytes is None else (memory,)),
    )


def _model(series: Series) -> tuple[Alert, ...]:
    stored = f"max by (job, track) ({series.of(catalogue.MODEL_STORED.name)})"
    models = f"count by (job, track, version, digest) ({series.of(catalogue.MODEL_INFO.name)})"
    return (
        Alert(
            name="TextClassifierDrift",
            severity="ticket",
            conditions=(
                Condition(
                    f"max by (job, track, {TARGET}, feature) ({series.of(catalogue.DRIFT_ALARM.name)})", "> 0"
                ),
            ),
            hold="30m",
            summary="The texts differ from those that the model was tested on",
            description=(
                "{{ $labels.job }}: for 30 minutes, the feature {{ $labels.feature }} of the last texts of "
                f"{SHOWN_TARGET} has differed from the held-out texts of the model. The accuracy of the "
                "model is not known for such texts."
            ),
        ),
        Alert(
            name="TextClassifierModelStale",
            severity="ticket",
            # 0 means that no model is loaded yet.
            conditions=(Condition(f"time() - ({stored} > 0)", f"> {MAX_MODEL_DAYS * DAY_SECONDS}"),),
            hold="1h",
            summary="The model is old",
            description=(
                "{{ $labels.job }}: the model was put into the model store "
                f"{{{{ $value | humanizeDuration }}}} ago, which is more than {MAX_MODEL_DAYS} days."
            ),
        ),
        Alert(
            name="TextClassifierModelsMixed",
            severity="ticket",
            conditions=(Condition(f"count by (job, track) ({models})", "> 1"),),
            hold="1h",
            summary="Pods of one track answer with different models",
            description=(
                "{{ $labels.job }}: pods of the same track have answered with {{ $value }} different "
                "models for an hour. A rollout has not ended."
            ),
        ),
    )
