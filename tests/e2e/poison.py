"""Faults of a runtime that certain texts set off: those that repeat one known word so many times."""

import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.runtimes import Scores
from classifier.text import Encoded

WORD = "bad"
SLEEP_SECONDS = 0.05

Score = Callable[[Any, Encoded], Scores]


class Fault(IntEnum):
    """What goes wrong; the number is how often the text has its word."""

    RAISES = 3
    WRONG_LENGTH = 4
    NAN = 5
    INFINITE = 6
    SLEEPS = 7

    @property
    def text(self) -> str:
        return " ".join([WORD] * self)


def poisoned(score: Score) -> Score:
    """A runtime's `score` with the faults that the batch's texts set off."""

    def score_with_faults(self: Any, batch: Encoded) -> Scores:
        faults = _faults(batch)
        if Fault.RAISES in faults:
            raise ZeroDivisionError("a poisoned text")
        if Fault.SLEEPS in faults:
            time.sleep(SLEEP_SECONDS)
        scores = score(self, batch)
        scores[faults == Fault.NAN] = np.nan
        scores[faults == Fault.INFINITE] = np.inf
        # Without the first row, so that pairing texts with scores as they come would pair them wrongly.
        return scores[1:] if Fault.WRONG_LENGTH in faults else scores

    return score_with_faults


def _faults(batch: Encoded) -> NDArray[np.int64]:
    """The number of each text's fault (n), 0 for none."""
    texts = [ids[:-1] for ids in np.split(batch.ids, batch.ends[:-1] + 1)]
    is_one_word = [len(ids) >= Fault.RAISES and len(set(ids.tolist())) == 1 for ids in texts]
    return np.where(np.array(is_one_word) & (batch.unknown == 0), [len(ids) for ids in texts], 0)
