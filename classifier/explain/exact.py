"""Explains a model whose score is a sum: each contribution is one of its terms."""

import numpy as np

from classifier.explain.explanation import Contributions, Words
from classifier.explain.target import Target
from classifier.runtimes import Terms


def contributions_of(text: str, terms: Terms, target: Target) -> Contributions:
    """Return the terms of the score that are not 0.

    An n-gram is from the start of its first token to the end of its last one.
    """
    values = target.score(terms.values)
    spans = np.empty((len(terms.first), 2), np.int64)
    starts, ends = terms.places.T
    spans[:, 0] = starts[terms.first]
    spans[:, 1] = ends[terms.first + terms.length - 1]
    stops = terms.counts.cumsum()
    bounds = np.empty((len(values), 2), np.int64)
    bounds[:, 0], bounds[:, 1] = stops - terms.counts, stops
    shown = values.nonzero()[0]
    return Contributions(text, values[shown], spans, bounds[shown])


def words_of(terms: Terms, target: Target) -> Words:
    """Return all tokens with their shares, which add up to the sum of the terms.

    The occurrences of an n-gram have equal parts of its term, and so have the tokens of an occurrence.
    """
    values = target.score(terms.values)
    of_each_token = (values / terms.counts).repeat(terms.counts) / terms.length
    stops = terms.length.cumsum()
    begins = (stops - terms.length - terms.first).repeat(terms.length)
    tokens = np.arange(len(begins)) - begins
    shares = np.bincount(tokens, of_each_token.repeat(terms.length), len(terms.places))
    return Words(terms.places, shares.astype(np.float64, copy=False))
