"""Prometheus' own tools accept the rendered files, and each alert fires for its fault and for no other."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from prometheus_tools import program, promtool, run

from monitoring.alerts import groups
from monitoring.expressions import MEMORY_BYTES, MODEL_ROUTES, START_TIME, UP
from monitoring.metric_table import PAGE as OPERATIONS
from monitoring.rendering import RENDERED
from monitoring.rules import RUNBOOK, Alert, rule_file
from serving.telemetry import catalogue

JOB = "text-classifier"
LIMIT = 1000
"""Bytes of memory that a target may use here."""

PREDICT = MODEL_ROUTES[0]
INSTANCES = ("a", "b")

MINUTE, HOUR, DAY = 1, 60, 1440

PAGE = "page"
TICKET = "ticket"

FOREVER = 400 * DAY


@dataclass(frozen=True)
class Gauge:
    """A series with these values, each for so many minutes."""

    pieces: tuple[tuple[float, int], ...]

    def text(self, step: int, end: int) -> str:
        """The values until minute `end` in promtool's notation, for samples that are `step` minutes apart."""
        return " ".join(f"{value:g}x{count - 1}" for value, count in _counts(self.pieces, step, end))


@dataclass(frozen=True)
class Counter:
    """A series that starts with 0 and grows by so much each minute, for so many minutes."""

    pieces: tuple[tuple[float, int], ...]

    def text(self, step: int, end: int) -> str:
        """The values until minute `end` in promtool's notation, for samples that are `step` minutes apart."""
        texts, value = ["0"], 0.0
        for by, count in _counts(self.pieces, step, end):
            texts.append(f"{value + by * step:.12g}+{by * step:.12g}x{count - 1}")
            value += count * by * step
        return " ".join(texts)


def _counts(pieces: tuple[tuple[float, int], ...], step: int, end: int) -> Iterator[tuple[float, int]]:
    """The number of samples of each piece that begins before `end`."""
    begin = 0
    for value, minutes in pieces:
        if begin <= end:
            yield value, min(minutes, end - begin + step) // step
        begin += minutes


Values = Mapping[str, Gauge | Counter | None]
"""Time series by their selectors; None for one that is missing."""


def constant(value: float) -> Gauge:
    return Gauge(((value, FOREVER),))


def growing(by: float) -> Counter:
    return Counter(((by, FOREVER),))


def selector(name: str, /, instance: str = "a", track: str = "stable", **labels: str) -> str:
    every = {"job": JOB, "instance": instance, "track": track} | labels
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in every.items()) + "}"


def requests(status_class: str, instance: str = "a", track: str = "stable") -> str:
    return selector(catalogue.REQUESTS.name, instance, track, route=PREDICT, status_class=status_class)


def answers(le: str, instance: str = "a") -> str:
    return selector(catalogue.REQUEST_DURATION.series[0], instance, route=PREDICT, le=le)


def answer_count(instance: str = "a") -> str:
    return selector(catalogue.REQUEST_DURATION.series[2], instance, route=PREDICT)


def model(instance: str = "a", track: str = "stable", digest: str = "1") -> str:
    return selector(
        catalogue.MODEL_INFO.name, instance, track, name="m", version=digest, digest=digest, kind="linear"
    )


def target(instance: str, track: str = "stable") -> Values:
    """What a target shows that answers 600 requests a minute well."""
    lag = catalogue.EVENT_LOOP_LAG.series[0]
    return {
        selector(UP, instance, track): constant(1),
        requests("2xx", instance, track): growing(600),
        requests("5xx", instance, track): constant(0),
        answers("0.25", instance): growing(600),
        answer_count(instance): growing(600),
        selector(catalogue.REFUSALS.name, instance, track, reason="queue_texts"): constant(0),
        selector(catalogue.REFUSALS.name, instance, track, reason="slow_client"): constant(0),
        selector(catalogue.REFUSALS.name, instance, track, reason="client_timeout"): constant(0),
        selector(catalogue.SATURATION.name, instance, track, resource="connections"): constant(0.1),
        selector(catalogue.FAILED_BATCHES.name, instance, track): constant(0),
        selector(catalogue.ISOLATED_TEXTS.name, instance, track): constant(0),
        selector(catalogue.DRIFT_ALARM.name, instance, track, feature="characters"): constant(0),
        model(instance, track): constant(1),
        selector(catalogue.MODEL_STORED.name, instance, track): constant(1),
        selector(lag, instance, track, le="0.01"): growing(60),
        selector(lag, instance, track, le="1"): growing(60),
        selector(lag, instance, track, le="+Inf"): growing(60),
        selector(catalogue.GC_PAUSE.series[1], instance, track): growing(0.1),
        selector(START_TIME, instance, track): constant(1000),
        selector(MEMORY_BYTES, instance, track): constant(0.3 * LIMIT),
    }


WELL = {key: value for instance in INSTANCES for key, value in target(instance).items()}


PACES = (
    (3 * HOUR, (1, "1m")),
    (6 * HOUR, (2, "4m")),
    (8 * DAY, (30, "1h")),
    (FOREVER, (DAY, "1d")),
)
"""Minutes between the samples, and between evaluations, of a case that takes up to so many minutes."""


@dataclass(frozen=True)
class Case:
    """Two targets that are well except for some series, and the alerts that fire after some time."""

    name: str
    minutes: int
    differing: Values
    alerts: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    """Names and severities."""

    def document(self, rules: Path) -> dict[str, object]:
        """The test as promtool reads it."""
        step, evaluation = next(pace for most, pace in PACES if self.minutes <= most)
        series = WELL | self.differing
        samples = [
            {"labels": f'{{alertname="{name}",severity="{severity}"}}', "value": 1}
            for name, severity in sorted(self.alerts)
        ]
        return {
            "rule_files": [str(rules)],
            "evaluation_interval": evaluation,
            # The alerts read what the other groups record at the same time.
            "group_eval_order": [group.name for group in groups(JOB, LIMIT)],
            "tests": [
                {
                    "interval": f"{step}m",
                    "input_series": [
                        {"series": key, "values": values.text(step, self.minutes)}
                        for key, values in series.items()
                        if values is not None
                    ],
                    "promql_expr_test": [
                        {
                            "expr": 'group by (alertname, severity) (ALERTS{alertstate="firing"})',
                            "eval_time": f"{self.minutes}m",
                            "exp_samples": samples,
                        }
                    ],
                }
            ],
        }


def failing(share: float, minutes: int, well_after: int = 0) -> Values:
    """Both targets fail this share of their requests, then none."""
    return {
        key: value
        for instance in INSTANCES
        for key, value in {
            requests("2xx", instance): Counter(((600 * (1 - share), minutes), (600, well_after + HOUR))),
            requests("5xx", instance): Counter(((600 * share, minutes), (0, well_after + HOUR))),
        }.items()
    }


def slow(share: float, minutes: int, well_after: int = 0) -> Values:
    """This share of the answers of both targets is slow, then none."""
    return {
        answers("0.25", instance): Counter(((600 * (1 - share), minutes), (600, well_after + HOUR)))
        for instance in INSTANCES
    }


def few_requests(good: float, bad: float) -> Values:
    """One target gets all requests, so many in an hour."""
    return {
        requests("2xx"): growing(good / 60),
        requests("5xx"): growing(bad / 60),
        answers("0.25"): growing(good / 60),
        answer_count(): growing(good / 60),
        **dict.fromkeys(target("b")),
    } | {selector(UP, "b"): constant(1), model("b"): constant(1)}


def fires(*alerts: tuple[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(alerts)


FAILING = {severity: ("TextClassifierFailing", severity) for severity in (PAGE, TICKET)}
SLOW = {severity: ("TextClassifierSlow", severity) for severity in (PAGE, TICKET)}


def ticket(name: str) -> frozenset[tuple[str, str]]:
    return fires((name, TICKET))


OBJECTIVES = [
    # A rate that uses up the budget so fast also uses it up faster than the lower rates allow.
    Case("2 % fail for an hour", HOUR, failing(0.02, HOUR), fires(*FAILING.values())),
    Case(
        "0.8 % fail for six hours",
        6 * HOUR,
        failing(0.008, 6 * HOUR),
        fires(*FAILING.values()),
    ),
    Case("0.4 % fail for a day", DAY, failing(0.004, DAY), fires(FAILING[TICKET])),
    Case("0.2 % fail for three days", 3 * DAY, failing(0.002, 3 * DAY), fires(FAILING[TICKET])),
    Case("0.09 % fail for three days", 3 * DAY, failing(0.0009, 3 * DAY)),
    Case("20 % are slow for an hour", HOUR, slow(0.2, HOUR), fires(*SLOW.values())),
    Case("8 % are slow for six hours", 6 * HOUR, slow(0.08, 6 * HOUR), fires(*SLOW.values())),
    Case("4 % are slow for a day", DAY, slow(0.04, DAY), fires(SLOW[TICKET])),
    Case("2 % are slow for three days", 3 * DAY, slow(0.02, 3 * DAY), fires(SLOW[TICKET])),
    Case("0.9 % are slow for three days", 3 * DAY, slow(0.009, 3 * DAY)),
    Case("two minutes of failures long ago", 6 * HOUR, failing(0.1, 2, 6 * HOUR)),
    Case("one of three requests fails", HOUR, few_requests(2, 1)),
    Case("all of twenty requests fail", HOUR, few_requests(0, 20), fires(*FAILING.values())),
]

CANARY = dict.fromkeys(target("b")) | target("b", track="canary")

TARGETS = [
    Case("all is well", 3 * HOUR, {}),
    Case(
        "the canary fails",
        HOUR,
        CANARY
        | {
            requests("2xx", "b", "canary"): growing(300),
            requests("5xx", "b", "canary"): growing(300),
        },
        fires(("TextClassifierTrackFailing", TICKET), *FAILING.values()),
    ),
    Case(
        "a canary that is well has another model",
        3 * HOUR,
        CANARY | {model("b", "canary"): None, model("b", "canary", "2"): constant(1)},
    ),
    Case(
        "no target answers",
        HOUR,
        {selector(UP, one): constant(0) for one in INSTANCES},
        fires(("TextClassifierAbsent", PAGE), ("TextClassifierTargetDown", TICKET)),
    ),
    Case("there is no target", HOUR, dict.fromkeys(WELL), fires(("TextClassifierAbsent", PAGE))),
    Case(
        "one target does not answer",
        HOUR,
        dict.fromkeys(target("b")) | {selector(UP, "b"): constant(0)},
        ticket("TextClassifierTargetDown"),
    ),
    Case(
        "one target is down for three minutes", HOUR, {selector(UP, "b"): Gauge(((1, 56), (0, 3), (1, HOUR)))}
    ),
    Case("one target shows no model", HOUR, {model("b"): None}, ticket("TextClassifierUnmeasured")),
    Case(
        "no target shows a model",
        HOUR,
        {model("a"): None, model("b"): None},
        ticket("TextClassifierUnmeasured"),
    ),
    Case(
        "the requests end",
        7 * DAY + 4 * HOUR,
        {requests("2xx", one): Counter(((600, 7 * DAY + 2 * HOUR), (0, DAY))) for one in INSTANCES},
        ticket("TextClassifierNoTraffic"),
    ),
    Case(
        "there are no requests on a day without any",
        7 * DAY + 4 * HOUR,
        {requests("2xx", one): Counter(((600, 6 * DAY), (0, 2 * DAY))) for one in INSTANCES},
    ),
    Case(
        "there never were requests",
        7 * DAY + 4 * HOUR,
        {requests("2xx", one): constant(0) for one in INSTANCES},
    ),
]

PROCESSES = [
    Case(
        "a worker is replaced twice",
        HOUR,
        {selector(START_TIME): Gauge(((1, 20), (2, 20), (3, HOUR)))},
        ticket("TextClassifierRestarts"),
    ),
    Case("a worker is replaced once", HOUR, {selector(START_TIME): Gauge(((1, 20), (2, HOUR)))}),
    Case(
        "timers are late",
        HOUR,
        {selector(catalogue.EVENT_LOOP_LAG.series[0], le="0.01"): growing(50)},
        ticket("TextClassifierEventLoopLate"),
    ),
    Case(
        "one of two hundred timers is late",
        HOUR,
        {selector(catalogue.EVENT_LOOP_LAG.series[0], le="0.01"): growing(59.7)},
    ),
    Case(
        "garbage collection takes a tenth of the time",
        HOUR,
        {selector(catalogue.GC_PAUSE.series[1]): growing(6)},
        ticket("TextClassifierGarbageCollection"),
    ),
    Case(
        "garbage collection takes a hundredth of the time",
        HOUR,
        {selector(catalogue.GC_PAUSE.series[1]): growing(0.6)},
    ),
    Case(
        "memory is short",
        HOUR,
        {selector(MEMORY_BYTES): constant(0.85 * LIMIT)},
        ticket("TextClassifierMemory"),
    ),
    Case(
        "memory is short for five minutes",
        HOUR,
        {selector(MEMORY_BYTES): Gauge(((300, 30), (850, 5), (300, HOUR)))},
    ),
]

BOUNDS = [
    Case(
        "refusals go on",
        HOUR,
        {selector(catalogue.REFUSALS.name, reason="queue_texts"): growing(20)},
        ticket("TextClassifierRefusing"),
    ),
    Case(
        "one of two hundred requests is refused",
        HOUR,
        {selector(catalogue.REFUSALS.name, reason="queue_texts"): growing(6)},
    ),
    Case(
        "four requests a minute are refused, of twenty",
        HOUR,
        few_requests(20 * 60, 0) | {selector(catalogue.REFUSALS.name, reason="queue_texts"): growing(4)},
    ),
    Case(
        "the timeouts of clients pass",
        3 * DAY,
        failing(0.5, 3 * DAY)
        | {
            selector(catalogue.REFUSALS.name, one, reason="client_timeout"): growing(300) for one in INSTANCES
        },
    ),
    Case(
        "the timeouts of clients pass, and as many requests fail",
        HOUR,
        failing(0.2, HOUR)
        | {selector(catalogue.REFUSALS.name, one, reason="client_timeout"): growing(60) for one in INSTANCES},
        fires(*FAILING.values()),
    ),
    Case(
        "requests fail on targets that do not count the timeouts of clients",
        HOUR,
        failing(0.2, HOUR)
        | {selector(catalogue.REFUSALS.name, one, reason="client_timeout"): None for one in INSTANCES},
        fires(*FAILING.values()),
    ),
    Case(
        "there is a burst of refusals",
        HOUR,
        {selector(catalogue.REFUSALS.name, reason="queue_texts"): Counter(((0, 52), (500, 2), (0, HOUR)))},
    ),
    Case(
        "slow clients are refused",
        HOUR,
        {selector(catalogue.REFUSALS.name, reason="slow_client"): growing(50)},
    ),
    Case(
        "connections are nearly used up",
        HOUR,
        {selector(catalogue.SATURATION.name, resource="connections"): constant(0.9)},
        ticket("TextClassifierSaturated"),
    ),
    Case(
        "connections are used up for a minute",
        HOUR,
        {
            selector(catalogue.SATURATION.name, resource="connections"): Gauge(
                ((0.1, 50), (1, 2), (0.1, HOUR))
            )
        },
    ),
    Case(
        "a batch fails",
        HOUR,
        {selector(catalogue.FAILED_BATCHES.name): Counter(((0, 50), (1, 1), (0, HOUR)))},
        ticket("TextClassifierBatchesFail"),
    ),
    Case(
        "a text fails",
        HOUR,
        {selector(catalogue.ISOLATED_TEXTS.name): Counter(((0, 50), (1, 1), (0, HOUR)))},
        ticket("TextClassifierBatchesFail"),
    ),
    Case(
        "a batch failed two hours ago",
        3 * HOUR,
        {selector(catalogue.FAILED_BATCHES.name): Counter(((0, 50), (1, 1), (0, 3 * HOUR)))},
    ),
]

MODEL = [
    Case(
        "the texts drift",
        HOUR,
        {selector(catalogue.DRIFT_ALARM.name, feature="characters"): constant(1)},
        ticket("TextClassifierDrift"),
    ),
    Case(
        "the texts drift for ten minutes",
        HOUR,
        {selector(catalogue.DRIFT_ALARM.name, feature="characters"): Gauge(((0, 50), (1, 11)))},
    ),
    # The clock of promtool starts in 1970, and so do these models.
    Case("the model is 182 days old", 182 * DAY, {}, ticket("TextClassifierModelStale")),
    Case("the model is 179 days old", 179 * DAY, {}),
    Case(
        "the time of an old model is not known",
        182 * DAY,
        {selector(catalogue.MODEL_STORED.name, one): constant(0) for one in INSTANCES},
    ),
    Case(
        "two pods of a track have different models",
        2 * HOUR,
        {model("b"): None, model("b", digest="2"): constant(1)},
        ticket("TextClassifierModelsMixed"),
    ),
    Case(
        "a rollout takes half an hour",
        2 * HOUR,
        {
            model("a"): Gauge(((1, 30),)),
            model("a", digest="2"): constant(1),
            model("b"): None,
            model("b", digest="2"): constant(1),
        },
    ),
]

CASES = [*OBJECTIVES, *TARGETS, *PROCESSES, *BOUNDS, *MODEL]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of rules, with a small limit of memory."""
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(rule_file(groups(JOB, LIMIT), RUNBOOK)), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exactly_these_alerts_fire_when(case: Case, rules: Path, tmp_path: Path) -> None:
    tests = tmp_path / "test.yaml"
    tests.write_text(yaml.safe_dump(case.document(rules)), encoding="utf-8")
    promtool("test", "rules", tests)


def test_each_alert_of_each_severity_fires_in_a_case() -> None:
    *_, alerts = groups(JOB, LIMIT)
    named = {(rule.name, rule.severity) for rule in alerts.rules if isinstance(rule, Alert)}
    assert set().union(*(case.alerts for case in CASES)) == named


def test_the_commands_of_the_page_make_a_configuration_without_names_of_containers(tmp_path: Path) -> None:
    page = OPERATIONS.read_text(encoding="utf-8")
    page = page.partition("### Without containers\n")[2].partition("\n#")[0]
    *commands, start = re.findall(r"^    (\S.*)$", page, re.MULTILINE)
    assert start.startswith("prometheus ")
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run(
        ["sh", "-euc", "\n".join(commands)], cwd=RENDERED.parents[1], env=environment, check=True, timeout=30
    )
    (configuration,) = tmp_path.glob("*/prometheus.yaml")
    promtool("check", "config", configuration)
    targets = re.findall(r"- (\S+:\d+)$", configuration.read_text(encoding="utf-8"), re.MULTILINE)
    assert targets == ["127.0.0.1:9093", "127.0.0.1:3000"]


def test_the_texts_of_alerts_name_the_pod_if_there_is_one(rules: Path, tmp_path: Path) -> None:
    """promtool compares the annotations with templates filled in."""
    used = selector(catalogue.SATURATION.name, resource="connections").replace("}", ',pod="a-1"}')
    expected = {
        "exp_labels": {
            "job": JOB,
            "instance": "a",
            "pod": "a-1",
            "resource": "connections",
            "severity": TICKET,
        },
        "exp_annotations": {
            "summary": "A bounded resource is nearly used up",
            "description": (
                f"{JOB}: averaged over ten minutes, a (pod a-1) used 90% of connections. "
                "At 100 % it refuses requests."
            ),
            "runbook": "docs/operations.md#textclassifiersaturated",
        },
    }
    document = {
        "rule_files": [str(rules)],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": used, "values": "0.9x60"}],
                "alert_rule_test": [
                    {"eval_time": "1h", "alertname": "TextClassifierSaturated", "exp_alerts": [expected]}
                ],
            }
        ],
    }
    tests = tmp_path / "test.yaml"
    tests.write_text(yaml.safe_dump(document), encoding="utf-8")
    promtool("test", "rules", tests)


def test_promtool_accepts_the_rendered_rules_and_configuration() -> None:
    promtool("check", "rules", RENDERED / "rules.yaml")
    promtool("check", "config", RENDERED / "prometheus.yaml")


def test_alertmanager_accepts_the_rendered_configuration() -> None:
    run([program("amtool", "prometheus-alertmanager"), "check-config", str(RENDERED / "alertmanager.yaml")])
