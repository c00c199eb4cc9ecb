"""Rounds in which every server is measured once, so that what else the machine does strikes all alike."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.artifacts import ServedArtifact
from benchmarks.closed_loop import Clients, ClosedLoad, load
from benchmarks.errors import BenchmarkError
from benchmarks.open_loop import attack
from benchmarks.servers import RunningServer, Server, running

CAPACITY_SERVER = "fastapi"
CAPACITY_CLIENTS = Clients(64)
CHECKED_TEXTS = 32
WARM_UP_CLIENTS = Clients(8)
WARM_UP_SECONDS = 2.0
START_AND_STOP_SECONDS = 8.0
"""What the estimate reckons for a server's start and end."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Rate:
    """Requests a second, absolute or as a multiple of FastAPI's at 64 connections."""

    amount: float
    unit: Literal["requests", "capacities"]

    def requests_per_second(self, capacity: float | None) -> int:
        """The rate that arrive; raises BenchmarkError where the capacity is needed and not known."""
        if self.unit == "requests":
            return max(1, round(self.amount))
        if capacity is None:
            raise BenchmarkError(
                f"the rate {self.amount:g}x needs the capacity of {CAPACITY_SERVER} at "
                f"{CAPACITY_CLIENTS} connections, which is not measured"
            )
        return max(1, round(self.amount * capacity))


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    servers: tuple[Server, ...]
    clients: tuple[Clients, ...]
    rates: tuple[Rate, ...]
    rounds: int
    seconds: float
    """Of each load."""

    def __post_init__(self) -> None:
        """Raise BenchmarkError where a rate depends on a capacity that is not measured."""
        has_capacity = CAPACITY_CLIENTS in self.clients and any(
            server.name == CAPACITY_SERVER for server in self.servers
        )
        if not has_capacity:
            for rate in self.rates:
                rate.requests_per_second(None)

    @property
    def estimated_seconds(self) -> float:
        """How long it takes for one artifact, if every server does."""
        stages = [stage for stage in (self.clients, self.rates) if stage]
        loads = sum(len(stage) * self.seconds for stage in stages)
        starts = len(stages) * (START_AND_STOP_SECONDS + WARM_UP_SECONDS)
        return len(self.servers) * self.rounds * (loads + starts)


@dataclass(frozen=True)
class ClosedFigures:
    """A server in one round under closed-loop load."""

    server: str
    round: int
    load: ClosedLoad
    cpu_microseconds: float
    """For each answer, of all the server's processes."""


@dataclass(frozen=True)
class OpenFigures:
    """A server in one round under open-loop load."""

    server: str
    round: int
    rate: int
    """Requests a second that arrived."""
    accepted: int
    refused: int
    """Answers with a status of 400 and above."""
    unanswered: int
    p50_ms: float | None
    p99_ms: float | None
    """Of the accepted; None where there are none."""
    refusal_p99_ms: float | None


@dataclass(frozen=True)
class StartFigures:
    """A server's start, and its memory after the load, in one round."""

    server: str
    round: int
    ready_seconds: float
    resident_bytes: int


@dataclass(frozen=True)
class Failure:
    """Why a server was not measured in one round."""

    server: str
    stage: str
    round: int
    reason: str


@dataclass
class Results:
    """Everything that was measured with one artifact."""

    closed: list[ClosedFigures] = field(default_factory=list)
    open: list[OpenFigures] = field(default_factory=list)
    starts: list[StartFigures] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def capacity(self) -> float | None:
        """FastAPI's requests a second at 64 connections; None where it was not measured."""
        rates = [
            figures.load.requests_per_second
            for figures in self.closed
            if (figures.server, figures.load.clients) == (CAPACITY_SERVER, CAPACITY_CLIENTS)
        ]
        return median(rates) if rates else None


class Measurement:
    """Measures the servers of a plan with one artifact and the same texts."""

    def __init__(
        self,
        plan: Plan,
        artifact: ServedArtifact,
        texts: Sequence[str],
        workplace: Path,
        logs: Path,
        progress: Progress,
    ) -> None:
        """`workplace` takes the request bodies, `logs` what the servers say."""
        self._plan = plan
        self._artifact = artifact
        self._texts = texts
        self._checked = texts[:CHECKED_TEXTS]
        self._expected = [one.probabilities for one in artifact.classifier.predict(self._checked)]
        self._workplace = workplace
        self._logs = logs
        self._progress = progress
        self._results = Results()

    def run(self) -> Results:
        """Measure under closed-loop load and then, as the rates may depend on it, under open-loop load."""
        self._in_rounds("closed loop", self._measure_closed)
        if self._plan.rates:
            self._in_rounds("open loop", self._measure_open)
        return self._results

    def _in_rounds(self, stage: str, measure: Callable[[RunningServer, int], None]) -> None:
        for number, server in interleaved(self._plan.servers, self._plan.rounds):
            self._progress(f"{self._artifact.kind}, {stage}, round {number}: {server.name}")
            try:
                with running(server, self._artifact, self._log_file(server)) as one:
                    one.check(self._checked, self._expected)
                    load(one.url, self._bodies(server), WARM_UP_CLIENTS, WARM_UP_SECONDS)
                    measure(one, number)
            except BenchmarkError as error:
                self._note_failure(server, stage, number, error)

    def _measure_closed(self, one: RunningServer, number: int) -> None:
        for clients in self._plan.clients:
            before = one.cpu_seconds()
            try:
                seen = load(one.url, self._bodies(one.server), clients, self._plan.seconds)
            except BenchmarkError as error:
                self._note_failure(one.server, f"{clients} connections", number, error)
                continue
            cpu = (one.cpu_seconds() - before) * 1e6 / seen.answers
            self._results.closed.append(ClosedFigures(one.server.name, number, seen, cpu))
        memory = one.resident_bytes()
        self._results.starts.append(StartFigures(one.server.name, number, one.ready_seconds, memory))

    def _measure_open(self, one: RunningServer, number: int) -> None:
        bodies = [one.server.encoded(text) for text in self._texts]
        for wanted in self._plan.rates:
            rate = wanted.requests_per_second(self._results.capacity)
            seen = attack(one.url, bodies, rate, self._plan.seconds)
            accepted, refused = int(seen.accepted.sum()), int(seen.refused.sum())
            figures = OpenFigures(
                server=one.server.name,
                round=number,
                rate=rate,
                accepted=accepted,
                refused=refused,
                unanswered=len(seen.status) - accepted - refused,
                p50_ms=percentile_ms(seen.latency[seen.accepted], 50),
                p99_ms=percentile_ms(seen.latency[seen.accepted], 99),
                refusal_p99_ms=percentile_ms(seen.latency[seen.refused], 99),
            )
            self._results.open.append(figures)

    def _note_failure(self, server: Server, stage: str, number: int, error: BenchmarkError) -> None:
        self._results.failures.append(Failure(server.name, stage, number, str(error)))
        self._progress(f"{server.name} failed: {error}")

    def _bodies(self, server: Server) -> Path:
        """The file of the server's request bodies, one a line."""
        path = self._workplace / f"{server.name}.jsonl"
        if not path.exists():
            path.write_bytes(b"".join(server.encoded(text) + b"\n" for text in self._texts))
        return path

    def _log_file(self, server: Server) -> Path:
        return self._logs / f"{self._artifact.kind}-{server.name}.log"


def interleaved(servers: Sequence[Server], rounds: int) -> Iterator[tuple[int, Server]]:
    """Each server once in each round, from round 1; in every other round the last comes first."""
    for number in range(1, rounds + 1):
        for server in servers if number % 2 else reversed(servers):
            yield number, server


def percentile_ms(latency: NDArray[np.float64], percent: float) -> float | None:
    """Of latencies in seconds; None where there are none."""
    return float(np.percentile(latency, percent)) * 1e3 if len(latency) else None
