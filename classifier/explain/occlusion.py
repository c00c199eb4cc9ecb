"""Explains any model by leaving parts out of the text (Zeiler and Fergus, ECCV 2014)."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.explain.explanation import Contributions, Faithfulness, Unit, Words

SHARES = (0.05, 0.1, 0.2, 0.5)
"""The shares of the parts that are left out, or kept, to measure faithfulness; ERASER also has 1 %."""
FIXED_RUNS = 2 + 2 * len(SHARES)
"""Runs besides one for each part: the text, the text without all parts, and those for the faithfulness."""
MAX_SENTENCE_WORDS = 50
"""A sentence of more words counts as several, so that a text without full stops has parts as well."""

# The group `inside` matches where the marks end no sentence, as in "3.5". These are matched as well, so that
# each mark is read once; otherwise the time would grow with the square of their number.
_SENTENCE_END = re.compile(
    r"[.!?…][.!?…\"'”’»)\]]*+(?:(?=\s|<|$)|(?P<inside>))|[。！？｡]|\n+|<br\s*/?>|</p>", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The m parts of a text that are left out one by one. They ascend and do not overlap."""

    unit: Unit
    text: str
    places: NDArray[np.int64]
    """The start and the end of each part (m, 2)."""
    part_of: NDArray[np.int64]
    """The index of the part that each token belongs to (tokens); -1 for a token without characters."""

    def __len__(self) -> int:
        return len(self.places)

    def without(self, left_out: Iterable[int]) -> str:
        """The text without some parts. A space is in the place of each, so that no new word arises."""
        kept, done = [], 0
        for start, end in self.places[sorted(left_out)].tolist():
            kept.append(self.text[done:start])
            done = end
        return " ".join([*kept, self.text[done:]])


def parts_of(text: str, tokens: NDArray[np.int64], max_runs: int) -> Parts:
    """Cut a text into as many parts as `max_runs` runs of the model allow.

    They are words; if these are too many, sentences; if these are too many, groups of neighbouring sentences.
    `tokens` (n, 2) are the places of the tokens.
    """
    most = max_runs - FIXED_RUNS
    word_of = _joined_where_they_overlap(tokens)
    words = _places_of(word_of, tokens)
    if len(words) <= most:
        return Parts(Unit.WORD, text, words, word_of)
    sentence_of = _sentences(text, words[:, 0])
    sentences = sentence_of[-1] + 1
    if sentences > most:
        sentence_of = sentence_of * most // sentences
    part_of = np.where(word_of < 0, -1, sentence_of[word_of])
    return Parts(Unit.SENTENCE, text, _places_of(part_of, tokens), part_of)


def _joined_where_they_overlap(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the word that each token belongs to; -1 for a token without characters.

    Tokens that overlap come from characters that cannot be told apart, so they are one word.
    """
    word_of = np.full(len(tokens), -1)
    real = (tokens[:, 0] < tokens[:, 1]).nonzero()[0]
    starts, ends = tokens[real].T
    begins = np.append(True, starts[1:] >= np.maximum.accumulate(ends)[:-1])[: len(real)]
    word_of[real] = begins.cumsum() - 1
    return word_of


def _places_of(part_of: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each part (m, 2), from the first of its tokens to the last."""
    real = part_of >= 0
    parts, starts, ends = part_of[real], tokens[real, 0], tokens[real, 1]
    firsts = np.append(True, parts[1:] != parts[:-1])[: len(parts)].nonzero()[0]
    if not len(firsts):
        return np.empty((0, 2), np.int64)
    return np.stack([starts[firsts], np.maximum.reduceat(ends, firsts)], axis=1)


def _sentences(text: str, words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the sentence that each word belongs to, from the starts of the words (m)."""
    ends = (match.end() for match in _SENTENCE_END.finditer(text) if match["inside"] is None)
    stops = np.fromiter(ends, np.int64)
    number = np.searchsorted(stops, words, side="right")
    changes = number[1:] != number[:-1]
    firsts = np.append(0, changes.nonzero()[0] + 1)
    lengths = np.diff(firsts, append=len(words))
    within = np.arange(len(words)) - firsts.repeat(lengths)
    begins = np.append(False, changes) | ((within > 0) & (within % MAX_SENTENCE_WORDS == 0))
    sentence_of: NDArray[np.int64] = begins.cumsum()
    return sentence_of


def contributions_of(parts: Parts, values: NDArray[np.float64]) -> Contributions:
    """Return the contributions of the parts, whose values are `values` (m)."""
    number = np.arange(len(parts))
    return Contributions(parts.text, values, parts.places, np.stack([number, number + 1], axis=1))


def words_of(parts: Parts, tokens: NDArray[np.int64], values: NDArray[np.float64]) -> Words:
    """Return all tokens; each has an equal share of the value of its part."""
    counts = np.bincount(parts.part_of[parts.part_of >= 0], minlength=len(parts))
    shares = np.append(values / counts, 0.0)[parts.part_of]  # The last one is for tokens without a part.
    return Words(tokens, shares)


@dataclass(frozen=True, slots=True)
class Erasures:
    """The texts that measure how faithful an explanation is, one of each kind for each of `SHARES`."""

    without_important: Sequence[str]
    only_important: Sequence[str]

    @classmethod
    def of(cls, parts: Parts, values: NDArray[np.float64]) -> "Erasures":
        """Leave out, or keep, the shares of the parts that speak most for the label."""
        ranked = np.argsort(-values, kind="stable").tolist()
        counts = [math.ceil(share * len(ranked)) for share in SHARES]
        return cls(
            [parts.without(ranked[:count]) for count in counts],
            [parts.without(ranked[count:]) for count in counts],
        )

    def faithfulness(self, probability: float, probabilities: Mapping[str, float]) -> Faithfulness:
        """Compare the label's probability for the text with those for each of the texts here."""
        return Faithfulness(
            comprehensiveness=_mean_fall(probability, self.without_important, probabilities),
            sufficiency=_mean_fall(probability, self.only_important, probabilities),
        )


def _mean_fall(probability: float, texts: Sequence[str], probabilities: Mapping[str, float]) -> float:
    return sum(probability - probabilities[text] for text in texts) / len(texts)
