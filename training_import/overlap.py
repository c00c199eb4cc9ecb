"""Find training texts that contain much of a test text, so that they can be left out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.text import TextSettings, Tokenizer

SHINGLE_TOKENS = 8
MIN_SHARE = 0.5
"""A text overlaps if at least this share of its shingles is in the other texts (Broder, 1997)."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def overlapping(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    """Return which of n texts overlap with the other texts.

    A shingle is a sequence of eight words. A shorter text has one shingle, which is all of it, and overlaps
    only with a text of the same words.
    """
    tokenizer = Tokenizer(TextSettings(max_tokens=1))
    known: dict[str, int] = {}
    empty = np.empty(0, np.uint64)
    theirs = np.concatenate([empty, *_shingles(tokenizer, others, known)])
    own = _shingles(tokenizer, texts, known)
    counts = np.array(list(map(len, own)), np.int64)
    is_theirs = np.isin(np.concatenate([empty, *own]), theirs)
    shared = np.bincount(np.arange(len(texts)).repeat(counts), is_theirs, len(texts))
    return (counts > 0) & (shared >= MIN_SHARE * counts)


def _shingles(tokenizer: Tokenizer, texts: Sequence[str], known: dict[str, int]) -> list[NDArray[np.uint64]]:
    """Return the hashes of each text's shingles. `known` numbers the words, and is added to."""
    found = []
    for text in texts:
        words = tokenizer.tokens(text)
        ids = np.array([known.setdefault(word, len(known) + 1) for word in words], np.uint64)
        size = min(SHINGLE_TOKENS, len(ids))
        hashes = np.zeros(len(ids) - size + 1 if size else 0, np.uint64)
        for place in range(size):
            hashes = (hashes ^ ids[place : place + len(hashes)]) * _MULTIPLIER
            hashes ^= hashes >> np.uint64(29)
        found.append(hashes)
    return found
