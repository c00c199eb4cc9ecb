"""Closed-loop load by `wrk`: each client sends its next request when it has the answer to the last."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

SCRIPT = Path(__file__).with_name("wrk.lua")
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Clients:
    """The number of clients, and whether they keep their connections."""

    count: int
    keep_connections: bool = True
    """If False, the clients open a connection for each request, as most scripts do."""

    def __str__(self) -> str:
        return str(self.count) if self.keep_connections else f"{self.count}, one per request"


@dataclass(frozen=True)
class ClosedLoad:
    """The figures that `wrk` reports."""

    clients: Clients
    seconds: float
    answers: int
    """The number of answers, refusals included."""
    refusals: int
    """The number of answers with a status of 400 or above."""
    failures: int
    """The number of requests without an answer."""
    p50_ms: float
    p99_ms: float
    """Both percentiles are of all answers."""

    @property
    def requests_per_second(self) -> float:
        """Accepted requests per second; refusals do not count."""
        return (self.answers - self.refusals) / self.seconds


def check_wrk() -> None:
    """Raise BenchmarkError if `wrk` is missing."""
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk, which generates the load, is missing; on Debian, `apt-get install wrk`")


def load(url: str, bodies: Path, clients: Clients, seconds: float) -> ClosedLoad:
    """POST the lines of a file to `url` as request bodies. Raises BenchmarkError."""
    command = ["wrk", "--threads", "1", "--connections", str(clients.count), "--duration", f"{seconds:g}s"]
    if not clients.keep_connections:
        command += ["--header", "Connection: close"]
    options = ["--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT), url, "--", str(bodies)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    seen = json.loads(done.stdout.splitlines()[-1])
    if not seen["answers"]:
        raise BenchmarkError(f"no answer within {seconds:g} s at {clients} connections")
    return ClosedLoad(
        clients=clients,
        seconds=seen["microseconds"] / 1e6,
        answers=seen["answers"],
        refusals=seen["refusals"],
        failures=seen["failures"],
        p50_ms=seen["p50"] / 1e3,
        p99_ms=seen["p99"] / 1e3,
    )
