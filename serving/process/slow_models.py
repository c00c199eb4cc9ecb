"""Gives a slow model the time that a whole request needs."""

import time
from collections.abc import Callable

import structlog

from classifier.pipeline import Classifier
from classifier.schema import MAX_TEXTS
from classifier.settings import BatchingSettings, Settings

RUNS = 3
"""Runs of the longest text. Only the shortest counts, because other processes interrupt some."""

DEADLINE_FACTOR = 2
"""The deadline as a multiple of the longest queue, so that a request that was admitted is also answered."""

ANSWER_SHARE = 0.9
"""The longest deadline as a share of `api.request_seconds`, after which the client is taken for a slow one:
the answer would be 408, which is no failure of the service."""

_log = structlog.get_logger("classifier.model")


def with_time_for(
    classifier: Classifier, settings: Settings, clock: Callable[[], float] = time.perf_counter
) -> Settings:
    """The settings with longer limits of time, if a request of the most and longest texts would pass them.

    Otherwise a model that takes 50 ms for a text would refuse most of what the API allows. Limits that were
    changed from their defaults are left as they are.
    """
    batching, default = settings.batching, BatchingSettings()
    is_default = (
        batching.max_waiting_seconds == default.max_waiting_seconds
        and batching.deadline_seconds == default.deadline_seconds
    )
    if not is_default or not classifier.samples:
        return settings
    longest = classifier.samples[-1]
    seconds = []
    for _ in range(RUNS):
        begin = clock()
        classifier.predict(longest)
        seconds.append(clock() - begin)
    whole = MAX_TEXTS * min(seconds)
    if whole <= batching.max_waiting_seconds:
        return settings
    most = ANSWER_SHARE * settings.api.request_seconds
    limits = {
        "max_waiting_seconds": round(min(whole, most), 1),
        "deadline_seconds": max(batching.deadline_seconds, round(min(DEADLINE_FACTOR * whole, most), 1)),
    }
    _log.info("limits_raised", text_seconds=round(min(seconds), 4), **limits)
    return settings.model_copy(update={"batching": batching.model_copy(update=limits)})
