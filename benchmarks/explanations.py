"""Measures what an explanation costs next to a prediction, over HTTP.

One service answers the same texts at `/predict` and at `/predict/explain`, at 64 connections. Both routes are
measured in each round, one right after the other, and every other round begins with the other route. So other
load on the machine affects both alike. The CPU time of the service's processes depends on other load less
than the rate does, because it has no waiting for a core.

    text-classifier bench explanations --rounds 7
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.artifacts import KINDS, prepare
from benchmarks.bodies import COUNT, request_reviews, request_texts
from benchmarks.closed_loop import check_wrk, load
from benchmarks.errors import WrongOption
from benchmarks.report import machine_facts
from benchmarks.rounds import CAPACITY_CLIENTS, WARM_UP_SECONDS
from benchmarks.servers import SERVERS, RunningServer, running
from benchmarks.spread import Spread, spread
from training_import.markdown import markdown_table

SERVICE = SERVERS[0]
PREDICT, EXPLAIN = "/predict", "/predict/explain"


@dataclass(frozen=True)
class Load:
    """What one load on one route took."""

    requests_per_second: float
    cpu_microseconds: float
    """CPU time per answer, user and system, of all the service's processes."""


@dataclass(frozen=True)
class Cost:
    """The cost of explanations of one set of texts."""

    texts: str
    predictions: Spread
    """Requests per second."""
    explanations: Spread
    """Requests per second."""
    rate_ratio: Spread
    """The rate of predictions divided by that of explanations, in each round."""
    prediction_cpu: Spread
    """CPU time of a prediction in microseconds."""
    explanation_cpu: Spread
    """CPU time of an explanation in microseconds."""
    cpu_ratio: Spread
    """The CPU time of an explanation divided by that of a prediction, in each round."""


def _loaded(service: RunningServer, path: str, bodies: Path, seconds: float) -> Load:
    before = service.cpu_seconds()
    seen = load(service.url_of(path), bodies, CAPACITY_CLIENTS, seconds)
    return Load(seen.requests_per_second, (service.cpu_seconds() - before) * 1e6 / seen.answers)


def _cost(service: RunningServer, name: str, bodies: Path, rounds: int, seconds: float) -> Cost:
    for path in (PREDICT, EXPLAIN):
        load(service.url_of(path), bodies, CAPACITY_CLIENTS, WARM_UP_SECONDS)
    pairs = []
    for number in range(rounds):
        order = (PREDICT, EXPLAIN) if number % 2 else (EXPLAIN, PREDICT)
        of_path = {path: _loaded(service, path, bodies, seconds) for path in order}
        pairs.append((of_path[PREDICT], of_path[EXPLAIN]))
    return Cost(
        texts=name,
        predictions=spread([one.requests_per_second for one, _ in pairs]),
        explanations=spread([other.requests_per_second for _, other in pairs]),
        rate_ratio=spread([one.requests_per_second / other.requests_per_second for one, other in pairs]),
        prediction_cpu=spread([one.cpu_microseconds for one, _ in pairs]),
        explanation_cpu=spread([other.cpu_microseconds for _, other in pairs]),
        cpu_ratio=spread([other.cpu_microseconds / one.cpu_microseconds for one, other in pairs]),
    )


def _table(costs: Sequence[Cost]) -> str:
    return markdown_table(
        ("texts", "predictions /s", "explanations /s", "ratio", "CPU us", "CPU us", "CPU ratio"),
        [
            (
                cost.texts,
                f"{cost.predictions:,.0f}",
                f"{cost.explanations:,.0f}",
                f"{cost.rate_ratio:.2f}",
                f"{cost.prediction_cpu:.0f}",
                f"{cost.explanation_cpu:.0f}",
                f"{cost.cpu_ratio:.2f}",
            )
            for cost in costs
        ],
    )


def measure_explanations(artifact: str, rounds: int, seconds: float, json_file: Path | None) -> None:
    """Measure whole reviews, and reviews and sentences in equal parts, and print a table.

    `seconds` is the length of each load. Raises WrongOption and BenchmarkError.
    """
    if artifact not in KINDS:
        raise WrongOption(f"artifact {artifact!r} is unknown; the known ones are {', '.join(KINDS)}")
    check_wrk()
    console = Console(stderr=True)
    texts: Mapping[str, Sequence[str]] = {
        "reviews": request_reviews()[1][:COUNT],
        "reviews and sentences": request_texts()[1],
    }
    with tempfile.TemporaryDirectory() as folder:
        console.print(f"preparing the {artifact} artifact")
        served = prepare(KINDS[artifact], Path(folder))
        costs = []
        with running(SERVICE, served, Path(folder) / "service.log") as service:
            for name, sent in texts.items():
                console.print(f"{name}: {rounds} rounds of 2 loads, {seconds:g} s each")
                bodies = Path(folder) / "bodies.jsonl"
                bodies.write_bytes(b"".join(SERVICE.encoded(text) + b"\n" for text in sent))
                costs.append(_cost(service, name, bodies, rounds, seconds))
    print(_table(costs))  # noqa: T201
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        content = {"facts": machine_facts(), "costs": [asdict(cost) for cost in costs]}
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
