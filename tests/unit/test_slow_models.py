"""Limits of time for models that are slow."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from classifier.settings import BatchingSettings, Settings
from serving.process.slow_models import with_time_for

LIMITS = ("max_waiting_seconds", "deadline_seconds")


def limits(seconds: Sequence[float], samples: Any = (["short"], ["long"]), **batching: float) -> list[float]:
    """Return the limits for a model that takes these times for the longest text."""
    times: Iterator[float] = iter([time for second in seconds for time in (0.0, second)])
    asked: list[Any] = []
    classifier: Any = SimpleNamespace(samples=samples, predict=asked.append)
    settings = with_time_for(
        classifier, Settings(batching=BatchingSettings(**batching)), clock=lambda: next(times)
    )
    assert asked == [["long"]] * len(asked)
    return [getattr(settings.batching, name) for name in LIMITS]


def test_a_fast_model_keeps_the_defaults() -> None:
    assert limits([0.009, 0.005, 0.02]) == [0.5, 2.0]


def test_a_slow_model_has_time_for_a_hundred_long_texts() -> None:
    assert limits([0.5, 0.04, 0.05]) == [4.0, 8.0]


@pytest.mark.parametrize(("seconds", "expected"), [(0.2, [20.0, 27.0]), (0.35, [27.0, 27.0])])
def test_a_model_that_is_too_slow_misses_the_deadline_before_the_client_is_taken_for_a_slow_one(
    seconds: float, expected: list[float]
) -> None:
    assert limits([seconds] * 3) == expected


def test_the_deadline_is_never_lowered() -> None:
    assert limits([0.008] * 3) == [0.8, 2.0]


@pytest.mark.parametrize("name", LIMITS)
def test_limits_that_were_changed_are_left_as_they_are(name: str) -> None:
    changed = {"max_waiting_seconds": 0.5, "deadline_seconds": 2.0} | {name: 1.0}
    assert limits([0.04] * 3, **{name: 1.0}) == list(changed.values())


def test_without_samples_nothing_is_measured() -> None:
    assert limits([], samples=()) == [0.5, 2.0]
