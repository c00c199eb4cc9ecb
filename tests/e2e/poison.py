"""Faults of a runtime that certain texts cause: texts that repeat one known word."""

import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.runtimes import Scored
from classifier.text import Encoded

WORD = "bad"
SLEEP_SECONDS = 0.05

Score = Callable[[Any, Encoded], Scored]


class Fault(IntEnum):
    """The kinds of faults; the value is how often the text repeats the word."""

    RAISES = 3
    WRONG_LENGTH = 4
    NAN = 5
    INFINITE = 6
    SLEEPS = 7

    @property
    def text(self) -> str:
        return " ".join([WORD] * self)


def poisoned(score: Score) -> Score:
    """Wrap a runtime's `score` so that it has the faults that the texts of a batch cause."""

    def score_with_faults(self: Any, batch: Encoded) -> Scored:
        faults = _faults(batch)
        if Fault.RAISES in faults:
            raise ZeroDivisionError("a poisoned text")
        if Fault.SLEEPS in faults:
            time.sleep(SLEEP_SECONDS)
        scored = score(self, batch)
        scored.scores[faults == Fault.NAN] = np.nan
        scored.scores[faults == Fault.INFINITE] = np.inf
        if Fault.WRONG_LENGTH not in faults:
            return scored
        # The first row is missing, so pairing texts and scores by position would pair them wrongly.
        return Scored(scored.scores[1:], scored.is_doubtful[1:])

    return score_with_faults


def _faults(batch: Encoded) -> NDArray[np.int64]:
    """The fault of each text (n); 0 means none."""
    texts = [ids[:-1] for ids in np.split(batch.ids, batch.ends[:-1] + 1)]
    is_one_word = [len(ids) >= Fault.RAISES and len(set(ids.tolist())) == 1 for ids in texts]
    return np.where(np.array(is_one_word) & (batch.unknown == 0), [len(ids) for ids in texts], 0)
