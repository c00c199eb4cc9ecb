"""Measures the service alone, at and beyond its capacity.

- Overload: requests arrive at a multiple of the capacity, which is measured just before at 64 connections.
- Batches: `/predict/batch` with 100 texts alternates with the same pipeline in this process.
- Endurance: the service answers many requests, and the memory of its processes is measured.

Run it on a machine with nothing else to do. The load generator uses one of the cores, and if the machine
becomes slower after the capacity was measured, the service refuses more.
"""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks.artifacts import KINDS, ServedArtifact, prepare
from benchmarks.bodies import request_texts
from benchmarks.closed_loop import Clients, check_wrk, load
from benchmarks.errors import WrongOption
from benchmarks.open_loop import allow_connections, attack
from benchmarks.report import MEGABYTE, machine_facts
from benchmarks.rounds import (
    CAPACITY_CLIENTS,
    WARM_UP_CLIENTS,
    WARM_UP_SECONDS,
    Progress,
    percentile_ms,
)
from benchmarks.servers import SERVERS, RunningServer, running
from benchmarks.spread import Spread, spread
from training_import.markdown import markdown_table

CAPACITY_SECONDS = 5.0
ENDURANCE_SECONDS = 5.0
"""Length of one load. The last load may exceed the number of requests by what it sends in this time."""

BATCH = 100
BATCH_ROUNDS = 3
BATCH_CLIENTS = Clients(4)
BATCHES_OF_A_CLIENT = 3
"""How many batches each client gets answered in one load, at least."""
SERVICE = SERVERS[0]


@dataclass(frozen=True)
class Overload:
    """The outcome of requests that arrived at `factor` times the capacity."""

    factor: float
    keeps_connections: bool
    """If False, the clients open a connection for each request."""
    capacity: float
    """Requests per second of such clients in the five seconds before."""
    accepted: float
    """Accepted requests per second, as a fraction of the capacity."""
    accepted_p50_ms: float | None
    accepted_p99_ms: float | None
    refused_p50_ms: float | None
    refused_p99_ms: float | None
    refused: int
    late: int
    """The number of answers with status 504."""
    unanswered: int
    afterwards: float
    """Requests per second in the second after the overload, as a fraction of the capacity."""
    resident_megabytes: float
    """Resident memory of all the service's processes right after the overload."""


@dataclass(frozen=True)
class Batches:
    """The throughput of `/predict/batch`."""

    texts_per_second: Spread
    ratio: Spread
    """Texts per second relative to the pipeline in this process."""


@dataclass(frozen=True)
class Endurance:
    """Resident memory of all the service's processes in megabytes: before, halfway and at the end."""

    requests: int
    first: float
    half: float
    last: float


@dataclass(frozen=True)
class Found:
    """Everything that was measured with one artifact."""

    batches: Batches
    overload: list[Overload]
    endurance: Endurance


class Limits:
    """Measures the service with one artifact."""

    def __init__(self, artifact: ServedArtifact, texts: Sequence[str], workplace: Path) -> None:
        """`workplace` is the folder for request bodies and the service's log."""
        self._artifact = artifact
        self._texts = texts
        self._workplace = workplace
        self._bodies = [SERVICE.encoded(text) for text in texts]
        self._file = self._written("texts", self._bodies)

    def all(self, factors: Sequence[float], seconds: float, requests: int, progress: Progress) -> Found:
        """Measure batches, overload by each of the factors for `seconds` each, and endurance."""
        progress(f"batches of {BATCH}")
        batches = self.batches(CAPACITY_SECONDS)
        progress(f"overload by {', '.join(f'{factor:g}' for factor in factors)}, {seconds:g} s each")
        overload = self.overload(factors, seconds)
        progress(f"{requests:,} requests")
        return Found(batches, overload, self.endurance(requests))

    def overload(self, factors: Sequence[float], seconds: float) -> list[Overload]:
        """Measure each factor on kept and on new connections, with one start of the service."""
        with self._service() as service:
            return [
                self._overload(service, factor, seconds, keep) for keep in (True, False) for factor in factors
            ]

    def _overload(self, service: RunningServer, factor: float, seconds: float, keep: bool) -> Overload:
        clients = Clients(CAPACITY_CLIENTS.count, keep)
        load(service.url, self._file, WARM_UP_CLIENTS, WARM_UP_SECONDS)
        capacity = self._load(service, clients, CAPACITY_SECONDS)
        seen = attack(service.url, self._bodies, factor * capacity, seconds, keep)
        memory = service.resident_bytes()
        afterwards = self._load(service, clients, 1)
        accepted, late = seen.latency[seen.accepted], int((seen.status == 504).sum())
        refused = seen.latency[seen.status == 503]
        return Overload(
            factor=factor,
            keeps_connections=keep,
            capacity=capacity,
            accepted=len(accepted) / seconds / capacity,
            accepted_p50_ms=percentile_ms(accepted, 50),
            accepted_p99_ms=percentile_ms(accepted, 99),
            refused_p50_ms=percentile_ms(refused, 50),
            refused_p99_ms=percentile_ms(refused, 99),
            refused=len(refused),
            late=late,
            unanswered=len(seen.status) - len(accepted) - len(refused) - late,
            afterwards=afterwards / capacity,
            resident_megabytes=memory / MEGABYTE,
        )

    def batches(self, seconds: float) -> Batches:
        """Measure batches of 100 texts, which are the texts of the requests in turn.

        A load takes `seconds`, or as long as a slow model needs for some batches of each client.
        """
        batches = [
            self._texts[start : start + BATCH] for start in range(0, len(self._texts) - BATCH + 1, BATCH)
        ]
        begin = time.perf_counter()
        self._artifact.classifier.predict(batches[0])
        of_a_batch = time.perf_counter() - begin
        warm_up = max(WARM_UP_SECONDS, 2 * BATCH_CLIENTS.count * of_a_batch)
        seconds = max(seconds, BATCHES_OF_A_CLIENT * BATCH_CLIENTS.count * of_a_batch)
        file = self._written("batches", [orjson.dumps({"texts": batch}) for batch in batches])
        rates, ratios = [], []
        with self._service() as service:
            url = f"{service.url}/batch"
            load(url, file, BATCH_CLIENTS, warm_up)
            for _ in range(BATCH_ROUNDS):
                rates.append(BATCH * load(url, file, BATCH_CLIENTS, seconds).requests_per_second)
                ratios.append(rates[-1] / self._pipeline_rate(batches, seconds))
        return Batches(spread(rates), spread(ratios))

    def _pipeline_rate(self, batches: Sequence[Sequence[str]], seconds: float) -> float:
        """Texts per second of the pipeline in this process."""
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            self._artifact.classifier.predict(batches[done % len(batches)])
            done += 1
        return BATCH * done / (time.perf_counter() - begin)

    def endurance(self, requests: int) -> Endurance:
        """Measure the memory over at least this many requests at 64 connections, in two halves."""
        with self._service() as service:
            megabytes = [service.resident_bytes() / MEGABYTE]
            answered = 0
            for half in (requests // 2, requests):
                while answered < half:
                    answered += load(service.url, self._file, CAPACITY_CLIENTS, ENDURANCE_SECONDS).answers
                megabytes.append(service.resident_bytes() / MEGABYTE)
        return Endurance(answered, *megabytes)

    def _service(self) -> AbstractContextManager[RunningServer]:
        return running(SERVICE, self._artifact, self._workplace / "service.log")

    def _load(self, service: RunningServer, clients: Clients, seconds: float) -> float:
        return load(service.url, self._file, clients, seconds).requests_per_second

    def _written(self, name: str, bodies: Sequence[bytes]) -> Path:
        path = self._workplace / f"{name}.jsonl"
        path.write_bytes(b"".join(body + b"\n" for body in bodies))
        return path


def _overload_table(rows: Sequence[Overload]) -> str:
    head = (
        "times the capacity",
        "connections",
        "capacity /s",
        "accepted",
        "p50, p99 ms",
        "refused",
        "p50, p99 ms",
    )
    return markdown_table(
        (*head, "late", "unanswered", "the second after", "memory MB"),
        [
            (
                f"{row.factor:g}",
                "kept" if row.keeps_connections else "one per request",
                f"{row.capacity:,.0f}",
                f"{row.accepted:.0%} of capacity",
                _milliseconds(row.accepted_p50_ms, row.accepted_p99_ms),
                f"{row.refused:,}",
                _milliseconds(row.refused_p50_ms, row.refused_p99_ms),
                f"{row.late:,}",
                f"{row.unanswered:,}",
                f"{row.afterwards:.0%} of capacity",
                f"{row.resident_megabytes:.0f}",
            )
            for row in rows
        ],
    )


def _milliseconds(*percentiles: float | None) -> str:
    return ", ".join("–" if value is None else f"{value:.1f}" for value in percentiles)


def _report(kind: str, facts: Mapping[str, str], found: Found) -> str:
    batches, endurance = found.batches, found.endurance
    parts = [
        f"# The service at its limits, with the {kind} artifact",
        markdown_table(("", ""), facts.items()),
        _overload_table(found.overload),
        f"Batches of {BATCH}: {batches.texts_per_second:,.0f} texts per second, {batches.ratio:.2f} times "
        "the pipeline in this process.",
        f"{endurance.requests:,} requests: {endurance.first:.0f} MB before, {endurance.half:.0f} MB after "
        f"half of them, {endurance.last:.0f} MB at the end.",
    ]
    return "\n\n".join(parts) + "\n"


def _factors(text: str) -> list[float]:
    try:
        return [float(factor) for factor in text.split(",")]
    except ValueError:
        raise WrongOption(f"factors {text!r} is not a comma-separated list of numbers, as in 2,5") from None


def measure_limits(artifact: str, factors: str, seconds: float, requests: int, output: Path) -> None:
    """Measure the service at its limits, and write and print a report.

    `factors` is a comma-separated list of multiples of the capacity. `seconds` is the length of each
    overload, and `requests` the number of requests of the endurance test. Raises WrongOption and
    BenchmarkError.
    """
    if artifact not in KINDS:
        raise WrongOption(f"artifact {artifact!r} is unknown; the known ones are {', '.join(KINDS)}")
    multiples = _factors(factors)
    console = Console(stderr=True)
    facts = machine_facts()
    check_wrk()
    allow_connections()
    with tempfile.TemporaryDirectory() as folder:
        console.print(f"preparing the {artifact} artifact")
        limits = Limits(prepare(KINDS[artifact], Path(folder)), request_texts()[1], Path(folder))
        found = limits.all(multiples, seconds, requests, console.print)
    text = _report(artifact, facts, found)
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{artifact}.md").write_text(text, encoding="utf-8")
    content = {"facts": facts, "artifact": artifact, **asdict(found)}
    (output / f"{artifact}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(text)  # noqa: T201
