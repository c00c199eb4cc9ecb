"""Open-loop load by `vegeta`: requests arrive at a fixed rate, whether or not those before are answered."""

import base64
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bodies import ROOT
from benchmarks.errors import BenchmarkError

VEGETA = ROOT / ".venv-bench" / "bin" / "vegeta"
TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Attack:
    """What became of n requests, in the order in which they were sent."""

    start: NDArray[np.float64]
    """Seconds (n) since the first was sent."""
    status: NDArray[np.int64]
    """HTTP status (n); 0 where there was no answer within 10 s."""
    latency: NDArray[np.float64]
    """Seconds (n) from when it was sent to the end of its answer."""


def check_vegeta() -> None:
    """Raise BenchmarkError where `vegeta` is missing."""
    if not VEGETA.exists():
        raise BenchmarkError(
            "vegeta, which makes requests arrive at fixed rates, is missing; `make .venv-bench/bin/vegeta` "
            "installs it, and needs Go"
        )


def attack(url: str, bodies: Sequence[bytes], rate: int, seconds: float) -> Attack:
    """POST the JSON bodies in turn, `rate` a second; raises BenchmarkError."""
    with tempfile.TemporaryDirectory() as folder:
        targets, results, rows = (Path(folder) / name for name in ("targets", "results", "rows"))
        targets.write_text("".join(_target(url, body) for body in bodies), encoding="utf-8")
        _vegeta(
            "attack",
            "-format=json",
            f"-targets={targets}",
            f"-rate={rate}/1s",
            f"-duration={seconds:g}s",
            f"-timeout={TIMEOUT_SECONDS}s",
            "-max-body=0",
            f"-output={results}",
        )
        _vegeta("encode", "-to=csv", f"-output={rows}", str(results))
        table = np.loadtxt(rows, np.int64, delimiter=",", usecols=(0, 1, 2), ndmin=2)
    table = table[table[:, 0].argsort(kind="stable")]
    start, status, latency = table.T
    return Attack((start - start[0]) / 1e9, status, latency / 1e9)


def _target(url: str, body: bytes) -> str:
    target = {
        "method": "POST",
        "url": url,
        "header": {"Content-Type": ["application/json"]},
        "body": base64.b64encode(body).decode(),
    }
    return json.dumps(target) + "\n"


def _vegeta(*arguments: str) -> None:
    done = subprocess.run([VEGETA, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"vegeta {arguments[0]} ended with {done.returncode}: {done.stderr.strip()}")
