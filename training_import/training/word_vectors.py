"""Make vectors of words from the words around them, with which a rare word learns from similar ones."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from sklearn.utils.extmath import randomized_svd

MIN_DOCUMENTS = 4
MAX_WORDS = 40_000
WINDOW = 5
"""Words at most so many places apart occur together; those k places apart count as 1 / sqrt(k)."""
DIMENSIONS = 300
CONTEXT_POWER = 0.75
"""Frequencies of contexts are raised to this power, so that rare contexts count less (Levy et al., 2015)."""
DIGITS = 6
"""Vectors are rounded, because processors differ in the last digits of matrix products."""


@dataclass(frozen=True)
class WordVectors:
    """Vectors of the m words that occur in enough texts."""

    words: tuple[str, ...]
    idf: NDArray[np.float64]
    """The inverse document frequency of each word (m)."""
    vectors: NDArray[np.float64]
    """The vectors (m, dimensions): of unit length, then less their mean weighted by frequency and idf."""


def word_vectors(texts: Sequence[Sequence[str]], seed: int) -> WordVectors | None:
    """Factorize the positive pointwise mutual information of words that occur together in n tokenized texts.

    Returns None if too few words are in several texts. Source: Levy, Goldberg and Dagan, "Improving
    Distributional Similarity with Lessons Learned from Word Embeddings", TACL 2015.
    """
    documents = Counter(word for text in texts for word in set(text))
    ranked = sorted(documents.items(), key=lambda item: (-item[1], item[0]))[:MAX_WORDS]
    words = tuple(word for word, count in ranked if count >= MIN_DOCUMENTS)
    if len(words) < 2:
        return None
    places = {word: place for place, word in enumerate(words)}
    frequency = np.array([documents[word] for word in words], np.float64)
    information = _positive_information(_co_occurrences(texts, places))
    dimensions = min(DIMENSIONS, len(words) - 1)
    left, values, _ = randomized_svd(information, dimensions, n_iter=3, random_state=seed)
    vectors = left * np.sqrt(values)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(lengths == 0, 1, lengths)
    idf = np.log((len(texts) / frequency).astype(np.longdouble)).astype(np.float64)
    share = frequency * idf
    if share.any():
        vectors -= share @ vectors / share.sum()
    return WordVectors(words, idf, vectors.round(DIGITS))


def _co_occurrences(texts: Sequence[Sequence[str]], places: dict[str, int]) -> csr_matrix:
    """Return how often two words occur together, shape (words, words)."""
    gap = [-1] * WINDOW
    ids = [place for text in texts for place in (*(places[w] for w in text if w in places), *gap)]
    flat = np.array(ids, np.int64)
    size = len(places)
    total = csr_matrix((size, size))
    for distance in range(1, WINDOW + 1):
        first, second = flat[:-distance], flat[distance:]
        both = (first >= 0) & (second >= 0)
        weights = np.full(int(both.sum()), distance**-0.5)
        pairs = coo_matrix((weights, (first[both], second[both])), shape=(size, size)).tocsr()
        total = total + pairs + pairs.T
    return total


def _positive_information(together: csr_matrix) -> csr_matrix:
    """Return how much more often two words occur together than by chance, as logarithms above zero."""
    totals = np.asarray(together.sum(axis=1)).ravel()
    contexts = totals**CONTEXT_POWER
    contexts /= max(contexts.sum(), 1)
    pairs = together.tocoo()
    information = np.log(pairs.data / (totals[pairs.row] * contexts[pairs.col]))
    more = information > 0
    return csr_matrix((information[more], (pairs.row[more], pairs.col[more])), shape=together.shape)
