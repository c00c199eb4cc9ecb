"""Find the words in the scope of a negation, so that "not good" is another feature than "good"."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MARK = "\N{NOT SIGN}"
"""Stands before a negated token. No match of `classifier.text.WORDS` has it."""

NEGATING_WORDS = (
    *("not", "never", "no", "nor", "neither", "none", "nobody", "nothing", "without", "cannot"),
    *("hardly", "barely"),
    *("t", "cant", "dont", "wont", "isnt", "wasnt", "doesnt", "didnt", "couldnt", "wouldnt"),
)
"""English words that negate what follows. The tokens of "don't" are "don" and "t"."""


class NegationSettings(BaseModel):
    """Which tokens negate those that follow them, and how far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: tuple[str, ...] = Field(default=NEGATING_WORDS, min_length=1)
    tokens: int = Field(default=4, ge=1, le=100)
    """The number of tokens after a negating word that it negates."""
    ends: tuple[Annotated[str, StringConstraints(pattern=r"^[!-/:-@\[-^`{-~]$")], ...] = tuple(".,;:!?()")
    """ASCII punctuation marks that end a negation earlier."""


def in_scope(is_word: NDArray[np.bool_], is_end: NDArray[np.bool_], tokens: int) -> NDArray[np.bool_]:
    """Return which of n tokens a negation reaches.

    `is_word` (n) says which tokens are negating words, and `is_end` (n) which are the ends of a scope, not
    counted as tokens. A negating word can be in the scope of another one.
    """
    n = len(is_word)
    words = (is_word > is_end).nonzero()[0]
    ends = np.append(is_end.nonzero()[0], n)
    # No end lies within a scope, so the place of a token there tells how many tokens it is after the word.
    stops = np.minimum(ends[ends.searchsorted(words)], words + (tokens + 1))
    open_scopes = -np.bincount(stops, minlength=n + 2)
    open_scopes[words + 1] += 1
    scope: NDArray[np.bool_] = open_scopes.cumsum()[:n] > 0
    return scope


class NegatedIds:
    """Gives negated tokens the ids of their marked forms, for the texts of a whole batch at once.

    Tokens are first looked up in `ids`, whose numbers tell apart what a vocabulary does not: a token that
    negates, or that has only a marked form. Calling this object turns them into ids of the vocabulary.
    """

    def __init__(self, settings: NegationSettings, ids: Mapping[str, int], unknown: int, end: int) -> None:
        """`ids` are those of a vocabulary, all below `unknown`. Ends of scopes have the largest id, `end`."""
        self._tokens = settings.tokens
        bases = [token.removeprefix(MARK) for token in ids if token.startswith(MARK)]
        extra = dict.fromkeys(token for token in (*bases, *settings.words) if token not in ids)
        own = {token: end + 1 + i for i, token in enumerate(extra)}
        self.ids = {**ids, **own, **dict.fromkeys(settings.ends, end)}
        count = end + 1 + len(own)
        self._unknown, self._end = unknown, end
        self._negated = np.full(count, unknown)
        self._negated[unknown : end + 1] = np.arange(unknown, end + 1)
        for token, id_ in self.ids.items():
            self._negated[id_] = end if id_ == end else ids.get(MARK + token, unknown)
        self._negates = np.zeros(count, bool)
        self._negates[[self.ids[word] for word in settings.words]] = True

    def __call__(self, ids: NDArray[np.int64], is_end: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the ids of n tokens in the vocabulary; `is_end` (n) are the ends of scopes and of texts."""
        negated = in_scope(self._negates[ids], is_end, self._tokens).nonzero()[0]
        found = np.where(ids > self._end, self._unknown, ids)
        found[negated] = self._negated[ids[negated]]
        return found
