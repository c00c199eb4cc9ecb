"""Divides FUZZ_SECONDS among the fuzz tests; the same FUZZ_SEED gives the same inputs."""

import functools
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from fuzzing import Fuzz, fuzz_for

SEED = pytest.StashKey[int]()
SECONDS = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    seed = os.environ.get("FUZZ_SEED")
    config.stash[SEED] = int(seed) if seed else random.SystemRandom().randrange(2**32)
    config.stash[SECONDS] = float(os.environ.get("FUZZ_SECONDS") or 60)


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Fuzz:
    """Check cases until this test has used its share of the time."""
    seconds = request.config.stash[SECONDS] / request.session.testscollected
    bound = functools.partial(fuzz_for, seconds, request.config.stash[SEED], request.node.name)

    def run(draw: Callable[[random.Random], Any], check: Callable[[Any], None]) -> None:
        request.node.user_properties.append(("inputs", bound(draw, check)))

    return run


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    terminalreporter.write_line(f"fuzzed for {config.stash[SECONDS]:g} s from SEED={config.stash[SEED]}")
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{value} {name}: {report.nodeid.partition('::')[2]}")
