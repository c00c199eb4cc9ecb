"""Measures every server once in each round, so that other load on the machine affects all alike."""

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
"""Estimate of the time that the start and the end of a server take."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Rate:
    """Requests per second, absolute or as a multiple of FastAPI's at 64 connections."""

    amount: float
    unit: Literal["requests", "capacities"]

    def requests_per_second(self, capacity: float | None) -> int:
        """The absolute rate. Raises BenchmarkError if it depends on a capacity that is not known."""
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
    """The servers to measure, and the loads to measure them under."""

    servers: tuple[Server, ...]
    clients: tuple[Clients, ...]
    rates: tuple[Rate, ...]
    rounds: int
    seconds: float
    """The length of each load."""

    def __post_init__(self) -> None:
        """Raise BenchmarkError if a rate depends on a capacity that is not measured."""
        has_capacity = CAPACITY_CLIENTS in self.clients and any(
            server.name == CAPACITY_SERVER for server in self.servers
        )
        if not has_capacity:
            for rate in self.rates:
                rate.requests_per_second(None)

    @property
    def estimated_seconds(self) -> float:
        """The time that one artifact takes if no server fails."""
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
    """CPU time per answer, of all the server's processes."""


@dataclass(frozen=True)
class OpenFigures:
    """A server in one round under open-loop load."""

    server: str
    round: int
    rate: int
    """Requests per second that arrived."""
    accepted: int
    refused: int
    """The number of answers with a status of 400 or above."""
    unanswered: int
    p50_ms: float | None
    p99_ms: float | None
    """Percentiles of the accepted requests; None if none was accepted."""
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
        """FastAPI's requests per second at 64 connections; None if it was not measured."""
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
        """`workplace` is the folder for request bodies, `logs` the folder for the servers' logs."""
        self._plan = plan
        self._artifact = artifact
        self._texts = texts
        self._checked = texts[:CHECKED_TEXTS]
        self._expected = [
            prediction.probabilities for prediction in artifact.classifier.predict(self._checked)
        ]
        self._workplace = workplace
        self._logs = logs
        self._progress = progress
        self._results = Results()

    def run(self) -> Results:
        """Measure the closed loop, then the open loop, whose rates may depend on the first."""
        self._in_rounds("closed loop", self._measure_closed)
        if self._plan.rates:
            self._in_rounds("open loop", self._measure_open)
        return self._results

    def _in_rounds(self, stage: str, measure: Callable[[RunningServer, int], None]) -> None:
        for number, server in interleaved(self._plan.servers, self._plan.rounds):
            self._progress(f"{self._artifact.kind}, {stage}, round {number}: {server.name}")
            try:
                with running(server, self._artifact, self._log_file(server)) as running_server:
                    running_server.check(self._checked, self._expected)
                    load(running_server.url, self._bodies(server), WARM_UP_CLIENTS, WARM_UP_SECONDS)
                    measure(running_server, number)
            except BenchmarkError as error:
                self._note_failure(server, stage, number, error)

    def _measure_closed(self, running_server: RunningServer, number: int) -> None:
        for clients in self._plan.clients:
            before = running_server.cpu_seconds()
            try:
                seen = load(
                    running_server.url, self._bodies(running_server.server), clients, self._plan.seconds
                )
            except BenchmarkError as error:
                self._note_failure(running_server.server, f"{clients} connections", number, error)
                continue
            cpu = (running_server.cpu_seconds() - before) * 1e6 / seen.answers
            self._results.closed.append(ClosedFigures(running_server.server.name, number, seen, cpu))
        memory = running_server.resident_bytes()
        self._results.starts.append(
            StartFigures(running_server.server.name, number, running_server.ready_seconds, memory)
        )

    def _measure_open(self, running_server: RunningServer, number: int) -> None:
        bodies = [running_server.server.encoded(text) for text in self._texts]
        for wanted in self._plan.rates:
            rate = wanted.requests_per_second(self._results.capacity)
            seen = attack(running_server.url, bodies, rate, self._plan.seconds)
            accepted, refused = int(seen.accepted.sum()), int(seen.refused.sum())
            figures = OpenFigures(
                server=running_server.server.name,
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
        """The file with the server's request bodies, one per line."""
        path = self._workplace / f"{server.name}.jsonl"
        if not path.exists():
            path.write_bytes(b"".join(server.encoded(text) + b"\n" for text in self._texts))
        return path

    def _log_file(self, server: Server) -> Path:
        return self._logs / f"{self._artifact.kind}-{server.name}.log"


def interleaved(servers: Sequence[Server], rounds: int) -> Iterator[tuple[int, Server]]:
    """Yield each server once per round, from round 1 on. Every other round has the reverse order."""
    for number in range(1, rounds + 1):
        for server in servers if number % 2 else reversed(servers):
            yield number, server


def percentile_ms(latency: NDArray[np.float64], percent: float) -> float | None:
    """A percentile in milliseconds of latencies in seconds; None if there are no latencies."""
    return float(np.percentile(latency, percent)) * 1e3 if len(latency) else None
