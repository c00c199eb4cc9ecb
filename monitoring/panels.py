"""What the dashboard shows: rows of panels with their queries."""

from dataclasses import dataclass

from classifier.drift.report import MIN_TEXTS
from classifier.settings import DriftSettings
from monitoring.expressions import (
    ALERTS,
    CPU_SECONDS,
    FIRING,
    MAX_FILES,
    MEMORY_BYTES,
    OF_MODEL,
    OPEN_FILES,
    START_TIME,
    UP,
    Series,
    Window,
    bucket,
    total,
)
from monitoring.objectives import AVAILABILITY, LATENCY, OBJECTIVES
from serving.telemetry import catalogue
from serving.telemetry.catalogue import Metric
from serving.telemetry.metrics import RIGHT, UNKNOWN

JOB = "job"
VARIABLES = ("instance", "pod", "track")
"""The labels by which a reader can choose among the targets. Only Kubernetes sets the last two; a target
without them is shown as well."""

INTERVAL = "$__rate_interval"
"""Grafana's window for rates, which is at least four scrapes long."""

SERIES = Series((f'{JOB}="${JOB}"', *(f'{name}=~"${name}"' for name in VARIABLES)))
RECORDED = Series((f'{JOB}="${JOB}"',))
"""The recorded series are sums over all targets of a job, so they have no other labels."""

PSI_ALARM = DriftSettings().psi_alarm

CONFIDENT = 0.9
"""The dashboard shows the share of texts that are predicted with at most this confidence."""


@dataclass(frozen=True)
class Query:
    """An expression, and what the legend says for each of its series."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """What some queries are shown as; its subclasses say how."""

    title: str
    unit: str
    """As Grafana names it."""
    description: str
    queries: tuple[Query, ...]
    warning: float | None = None
    """From here on, it is yellow."""
    critical: float | None = None
    """From here on, it is red."""
    maximum: float | None = None
    nothing: str = ""
    """What is shown in place of a value if there is none."""


class Diagram(Panel):
    """The values over time."""


class Number(Panel):
    """One value of now."""


class Firing(Panel):
    """The names of the series that there are now."""


@dataclass(frozen=True)
class Row:
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: Metric, by: str, *matchers: str) -> str:
    rate = SERIES.rate(metric.name, INTERVAL, *matchers)
    return f"sum by ({by}) ({rate})" if by else f"sum({rate})"


def _share(part: str, whole: str) -> str:
    return f"{part} / ({whole} > 0)"


def _by_track(expression: str) -> str:
    """The same series, of which those without a track have one, so that the legend can name it."""
    return f'label_replace({expression}, "track", "all targets", "track", "")'


HIGH = (0.5, 0.95, 0.99)
LOW = (0.05, 0.5)


def _quantiles(metric: Metric, *matchers: str, shares: tuple[float, ...] = HIGH) -> tuple[Query, ...]:
    return tuple(
        Query(SERIES.quantile(share, metric, INTERVAL, "", *matchers), f"p{100 * share:g}")
        for share in shares
    )


_TEXTS = _rate(catalogue.PREDICTIONS, "")
_LABELS = _rate(catalogue.PREDICTIONS, "label")
_CONFIDENCE = SERIES.rate(bucket(catalogue.CONFIDENCE), INTERVAL, f'le="{CONFIDENT:g}"')
_UNKNOWN = f'known="{UNKNOWN}"'
_RIGHT = f'outcome="{RIGHT}"'
_NOW = Window("5m")
_JUDGED_PSI = (
    f"{SERIES.of(catalogue.DRIFT_PSI.name)} "
    f"and on (instance) ({SERIES.of(catalogue.DRIFT_WINDOW.name)} >= {MIN_TEXTS})"
)
_YESTERDAY = SERIES.rate(catalogue.REQUESTS.name, _NOW.text, OF_MODEL, before="1d")

OVERVIEW = Row(
    "Overview: is the service, the traffic or the model to blame?",
    (
        Number(
            "Targets down",
            "short",
            "The service: targets that do not answer Prometheus.",
            (Query(f"count({SERIES.of(UP)}) - sum({SERIES.of(UP)})", "down"),),
            critical=1,
            nothing="no target",
        ),
        Number(
            "Failed",
            "percentunit",
            "The service: share of the requests to the model that failed or were refused, over 5 minutes.",
            (Query(_share(SERIES.failures(_NOW.text, JOB), SERIES.requests(_NOW.text, JOB)), "failed"),),
            warning=AVAILABILITY.budget,
            critical=14.4 * AVAILABILITY.budget,
            nothing="no requests",
        ),
        Number(
            "p99 of the answers",
            "s",
            "The service or the traffic: 99 % of the answers of the last 5 minutes took less.",
            (Query(SERIES.quantile(0.99, catalogue.REQUEST_DURATION, _NOW.text, "", OF_MODEL), "p99"),),
            warning=0.1,
            critical=0.25,
            nothing="no answers",
        ),
        Number(
            "Requests now and yesterday",
            "reqps",
            "The traffic: requests to the model over 5 minutes, and those at this time yesterday.",
            (
                Query(f"sum({SERIES.rate(catalogue.REQUESTS.name, _NOW.text, OF_MODEL)})", "now"),
                Query(f"sum({_YESTERDAY})", "yesterday"),
            ),
            nothing="not known",
        ),
        Number(
            "Saturation",
            "percentunit",
            "The traffic: use of the resource that is nearest to its bound, on the target that uses most.",
            (Query(f"max({SERIES.of(catalogue.SATURATION.name)})", "used"),),
            warning=0.8,
            critical=1,
            nothing="not known",
        ),
        Number(
            "p99 of a run",
            "s",
            "The model or the processor: 99 % of the runs of the model in the last 5 minutes took less.",
            (Query(SERIES.quantile(0.99, catalogue.INFERENCE_DURATION, _NOW.text), "p99"),),
            warning=0.1,
            critical=0.25,
            nothing="no runs",
        ),
        Number(
            "Features that drift",
            "short",
            "The texts or the model: features in which the last texts differ from the held-out texts.",
            (Query(f"sum(max by (feature) ({SERIES.of(catalogue.DRIFT_ALARM.name)}))", "drift"),),
            warning=1,
            nothing="not known",
        ),
        Number(
            "Models",
            "short",
            "The model: how many different models answer. During a rollout or a canary there are two.",
            (Query(f"count(count by (digest) ({SERIES.of(catalogue.MODEL_INFO.name)}))", "models"),),
            warning=2,
            nothing="none",
        ),
        Firing(
            "Firing alerts",
            "short",
            "docs/operations.md has a paragraph for each of them. All targets of the job count.",
            (
                Query(
                    f"max by (alertname, severity) ({RECORDED.of(ALERTS, FIRING)})",
                    "{{alertname}} ({{severity}})",
                ),
            ),
            critical=1,
            nothing="none",
        ),
    ),
)

TRAFFIC = Row(
    "Traffic",
    (
        Diagram(
            "Requests by route",
            "reqps",
            (
                "All requests that were answered, whatever the status. `other` are paths that the service "
                "does not have."
            ),
            (Query(_rate(catalogue.REQUESTS, "route"), "{{route}}"),),
        ),
        Diagram(
            "Requests by status",
            "reqps",
            "4xx are errors of clients; 5xx are those of the service, with its refusals.",
            (Query(_rate(catalogue.REQUESTS, "status_class"), "{{status_class}}"),),
        ),
        Diagram(
            "Predictions",
            "cps",
            "Texts classified each second. A request can have a hundred of them.",
            (Query(_TEXTS, "texts"),),
        ),
        Diagram(
            "Requests in progress",
            "short",
            "Requests to the model that are being answered, by target.",
            (Query(f"sum by (instance) ({SERIES.of(catalogue.REQUESTS_IN_PROGRESS.name)})", "{{instance}}"),),
        ),
        Diagram(
            "Length of the texts",
            "short",
            "Characters of the classified texts.",
            _quantiles(catalogue.TEXT_CHARACTERS),
        ),
    ),
)

ERRORS = Row(
    "Errors",
    (
        Diagram(
            "Share of failed requests",
            "percentunit",
            (
                "Of the requests to the model, those that the service failed or refused, without those whose "
                "own timeout passed. The objective of 99.9 % allows 0.1 %."
            ),
            (
                Query(
                    _by_track(_share(SERIES.failures(INTERVAL, "track"), SERIES.requests(INTERVAL, "track"))),
                    "{{track}}",
                ),
            ),
            warning=AVAILABILITY.budget,
            critical=14.4 * AVAILABILITY.budget,
        ),
        Diagram(
            "Refusals by reason",
            "reqps",
            (
                "`queue_*`, `held_bytes` and `connections` are bounds of the service; `slow_client` and "
                "`client_timeout` are the client's own fault."
            ),
            (Query(_rate(catalogue.REFUSALS, "reason"), "{{reason}}"),),
        ),
        Diagram(
            "Use of the error budgets",
            "short",
            (
                "How many times faster than allowed the budgets of 30 days are used up, over 5 minutes, by "
                "all targets of the job."
            ),
            tuple(
                Query(f"{RECORDED.of(objective.ratio(_NOW))} / {objective.budget:g}", objective.alert)
                for objective in OBJECTIVES
            ),
            warning=1,
            critical=14.4,
        ),
        Diagram(
            "Failed batches and texts",
            "short",
            (
                "Batches that raised an error, and texts that did so alone in the end. Both are faults of "
                "the model or its code."
            ),
            (
                Query(f"sum({SERIES.increase(catalogue.FAILED_BATCHES.name, INTERVAL)})", "batches"),
                Query(f"sum({SERIES.increase(catalogue.ISOLATED_TEXTS.name, INTERVAL)})", "single texts"),
            ),
            critical=1,
        ),
    ),
)

LATENCY_ROW = Row(
    "Latency",
    (
        Diagram(
            "Answers of the model",
            "s",
            "From the end of a request, with its body, to the end of its successful answer. A client that "
            "reads slowly makes this longer.",
            _quantiles(catalogue.REQUEST_DURATION, OF_MODEL),
            warning=0.1,
            critical=0.25,
        ),
        Diagram(
            "Share of slow answers",
            "percentunit",
            "Successful answers of the model that took longer than 250 ms. The objective of 99 % allows 1 %.",
            (
                Query(
                    _by_track(
                        _share(
                            f"({SERIES.slow_answers(INTERVAL, 'track')})", SERIES.answers(INTERVAL, "track")
                        )
                    ),
                    "{{track}}",
                ),
            ),
            warning=LATENCY.budget,
            critical=14.4 * LATENCY.budget,
        ),
        Diagram(
            "Time in the queue",
            "s",
            "From a request's arrival in the queue until the first of its texts runs. It grows with load.",
            _quantiles(catalogue.QUEUE_DURATION),
        ),
        Diagram(
            "Tokenization of one run",
            "s",
            (
                "Time of turning the texts of one run of the model into tokens. It grows with the length of "
                "the texts."
            ),
            _quantiles(catalogue.TOKENIZATION_DURATION),
        ),
        Diagram(
            "Inference of one run",
            "s",
            "Time of one run of the model without tokenization. It grows with the batch; if only it grows, "
            "the processor "
            "is slow or busy.",
            _quantiles(catalogue.INFERENCE_DURATION),
        ),
        Diagram(
            "p99 by target",
            "s",
            "One target that is slower than the others has a bad node, or a new version.",
            (
                Query(
                    SERIES.quantile(0.99, catalogue.REQUEST_DURATION, INTERVAL, "instance", OF_MODEL),
                    "{{instance}}",
                ),
            ),
        ),
    ),
)

SATURATION = Row(
    "Saturation",
    (
        Diagram(
            "Use of bounded resources",
            "percentunit",
            "On the target that uses most. At 100 % requests are refused for this reason.",
            (Query(f"max by (resource) ({SERIES.of(catalogue.SATURATION.name)})", "{{resource}}"),),
            warning=0.8,
            critical=1,
            maximum=1,
        ),
        Diagram(
            "Texts in the queue",
            "short",
            "Texts that wait for the model, by target.",
            (Query(f"sum by (instance) ({SERIES.of(catalogue.QUEUE_TEXTS.name)})", "{{instance}}"),),
        ),
        Diagram(
            "Characters in the queue",
            "short",
            "Characters of the texts that wait for the model, by target.",
            (Query(f"sum by (instance) ({SERIES.of(catalogue.QUEUE_CHARACTERS.name)})", "{{instance}}"),),
        ),
        Diagram(
            "Texts in a batch",
            "short",
            "Average number of texts that run together, by target. It grows with the load.",
            (Query(SERIES.average(catalogue.BATCH_TEXTS, INTERVAL, "instance"), "{{instance}}"),),
        ),
    ),
)

MODEL = Row(
    "Model",
    (
        Diagram(
            "Predicted labels",
            "percentunit",
            "Share of each label among the predictions.",
            (Query(f"{_LABELS} / ignoring (label) group_left () ({_TEXTS} > 0)", "{{label}}"),),
            maximum=1,
        ),
        Diagram(
            "Confidence",
            "percentunit",
            (
                "Probability of the predicted label. Its median falls when the texts become unlike the "
                "training data; p5 is that of the most doubtful texts."
            ),
            _quantiles(catalogue.CONFIDENCE, shares=LOW),
            maximum=1,
        ),
        Diagram(
            "Doubtful texts and answers",
            "percentunit",
            f"Share of texts that were predicted with a probability of at most {CONFIDENT:g}, and of "
            "answers that are "
            "`uncertain` because the client asked for more confidence.",
            (
                Query(_share(f"sum({_CONFIDENCE})", _TEXTS), f"at most {CONFIDENT:g}"),
                Query(_share(_rate(catalogue.UNCERTAIN, ""), _TEXTS), "uncertain"),
            ),
            maximum=1,
        ),
        Diagram(
            "Unknown words and cut texts",
            "percentunit",
            "Share of tokens that the model does not know, and of texts that it did not read to their end.",
            (
                Query(
                    _share(_rate(catalogue.TOKENS, "", _UNKNOWN), _rate(catalogue.TOKENS, "")),
                    "unknown tokens",
                ),
                Query(_share(_rate(catalogue.CUT_TEXTS, ""), _TEXTS), "cut texts"),
            ),
            maximum=1,
        ),
        Diagram(
            "Drift",
            "short",
            (
                "Population stability index of the last texts against the held-out texts of the model. From "
                f"{PSI_ALARM:g} on (`drift.psi_alarm`) a feature raises an alarm, unless chance explains it. "
                f"Targets that have classified fewer than {MIN_TEXTS} texts are left out."
            ),
            (Query(f"max by (feature) ({_JUDGED_PSI})", "{{feature}}"),),
            warning=PSI_ALARM / 2,
            critical=PSI_ALARM,
        ),
        Diagram(
            "Drift alarms",
            "short",
            "1 while the last texts differ from the held-out texts of the model in this feature.",
            (Query(f"max by (feature) ({SERIES.of(catalogue.DRIFT_ALARM.name)})", "{{feature}}"),),
            critical=1,
            maximum=1,
        ),
        Diagram(
            "Texts compared for drift",
            "short",
            "Number of the last texts that are compared with the held-out texts of the model, by target.",
            (Query(f"sum by (instance) ({SERIES.of(catalogue.DRIFT_WINDOW.name)})", "{{instance}}"),),
        ),
        Diagram(
            "Versions of the model",
            "short",
            "Number of targets that answer with each model.",
            (
                Query(
                    _by_track(f"count by (track, name, version) ({SERIES.of(catalogue.MODEL_INFO.name)})"),
                    "{{name}}:{{version}} ({{track}})",
                ),
            ),
        ),
        Diagram(
            "Age of the model",
            "s",
            "Time since the model was put into the model store.",
            (
                Query(
                    _by_track(f"time() - (max by (track) ({SERIES.of(catalogue.MODEL_STORED.name)}) > 0)"),
                    "{{track}}",
                ),
            ),
        ),
        Diagram(
            "Accuracy by feedback",
            "percentunit",
            "Share of right predictions among those whose true label a client has sent within the last hour.",
            (
                Query(
                    _share(
                        f"sum({SERIES.increase(catalogue.FEEDBACK.name, '1h', _RIGHT)})",
                        f"sum({SERIES.increase(catalogue.FEEDBACK.name, '1h')})",
                    ),
                    "accuracy",
                ),
            ),
            maximum=1,
        ),
        Diagram(
            "Predictions lost for feedback",
            "short",
            "Requests whose predictions could not be kept, so that feedback about them is refused. The disk "
            "is full or too slow.",
            (Query(f"sum({SERIES.increase(catalogue.FEEDBACK_DROPPED.name, INTERVAL)})", "requests"),),
            critical=1,
        ),
    ),
)

RESOURCES = Row(
    "Resources",
    (
        Diagram(
            "Targets",
            "short",
            "Targets that answer Prometheus, and all that it knows.",
            (
                Query(f"sum({SERIES.of(UP)})", "answer"),
                Query(f"count({SERIES.of(UP)})", "known"),
            ),
        ),
        Diagram(
            "Processor",
            "short",
            (
                "Processor cores that the worker process uses, by target. One event loop uses little more "
                "than one core."
            ),
            (Query(SERIES.rate(CPU_SECONDS, INTERVAL), "{{instance}}"),),
        ),
        Diagram(
            "Memory",
            "bytes",
            "Resident memory of the worker process, by target.",
            (Query(SERIES.of(MEMORY_BYTES), "{{instance}}"),),
        ),
        Diagram(
            "Event loop lag",
            "s",
            "How late timers run, p99 by target. No request is answered in such a time.",
            (Query(SERIES.quantile(0.99, catalogue.EVENT_LOOP_LAG, INTERVAL, "instance"), "{{instance}}"),),
            warning=0.05,
            critical=0.25,
        ),
        Diagram(
            "Garbage collection",
            "percentunit",
            "Share of the time that the worker spends in garbage collection, by target.",
            (
                Query(
                    f"sum by (instance) ({SERIES.rate(total(catalogue.GC_PAUSE), INTERVAL)})", "{{instance}}"
                ),
            ),
            warning=0.02,
            critical=0.05,
        ),
        Diagram(
            "Open connections",
            "short",
            "Connections of clients, by target.",
            (Query(f"sum by (instance) ({SERIES.of(catalogue.CONNECTIONS.name)})", "{{instance}}"),),
        ),
        Diagram(
            "Open files",
            "percentunit",
            "Share of the file descriptors that the worker may have. Each connection needs one.",
            (Query(f"{SERIES.of(OPEN_FILES)} / {SERIES.of(MAX_FILES)}", "{{instance}}"),),
            warning=0.8,
            critical=0.95,
            maximum=1,
        ),
        Diagram(
            "Age of the worker",
            "s",
            "Time since the worker process started, by target. It falls to zero when a worker is replaced.",
            (Query(f"time() - {SERIES.of(START_TIME)}", "{{instance}}"),),
        ),
    ),
)

ROWS = (OVERVIEW, TRAFFIC, ERRORS, LATENCY_ROW, SATURATION, MODEL, RESOURCES)
