"""Build the tree of n-grams that the linear runtime reads, as flat arrays."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NgramTree:
    """The tokens of all n-grams, the arrays `words_N` and `children_N`, and the node of each n-gram."""

    vocabulary: tuple[str, ...]
    arrays: dict[str, NDArray[np.unsignedinteger]]
    nodes: NDArray[np.int64]
    """The node of each n-gram (m), in the order in which they were given."""
    node_count: int

    @property
    def is_feature(self) -> NDArray[np.bool_]:
        """Which nodes are n-grams, rather than only the beginning of one."""
        mask = np.zeros(self.node_count, bool)
        mask[self.nodes] = True
        return mask


def ngram_tree(ngrams: Sequence[tuple[str, ...]]) -> NgramTree:
    """Build the tree of m distinct n-grams. Frequent tokens get low ids, which makes the file smaller."""
    frequency = Counter(token for ngram in ngrams for token in ngram)
    vocabulary = tuple(sorted(frequency, key=lambda token: (-frequency[token], token)))
    ids = {token: i for i, token in enumerate(vocabulary)}
    encoded = [tuple(map(ids.__getitem__, ngram)) for ngram in ngrams]

    nodes: dict[tuple[int, ...], int] = {(i,): i for i in range(len(vocabulary))}
    arrays: dict[str, NDArray[np.unsignedinteger]] = {}
    first, size = 0, len(vocabulary)
    for level in range(2, max(map(len, encoded), default=1) + 1):
        prefixes = {ngram[:level] for ngram in encoded if len(ngram) >= level}
        ordered = sorted(prefixes, key=lambda prefix: (nodes[prefix[:-1]], prefix[-1]))
        parents = np.array([nodes[prefix[:-1]] - first for prefix in ordered], np.int64)
        arrays[f"words_{level}"] = _smallest([prefix[-1] for prefix in ordered])
        arrays[f"children_{level}"] = _smallest(np.bincount(parents, minlength=size))
        first, size = first + size, len(ordered)
        nodes.update((prefix, first + i) for i, prefix in enumerate(ordered))
    return NgramTree(
        vocabulary,
        arrays,
        np.fromiter((nodes[ngram] for ngram in encoded), np.int64, len(encoded)),
        first + size,
    )


def _smallest(values: Sequence[int] | NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
    """Return the same numbers in the smallest unsigned type that can hold them."""
    array = np.asarray(values, np.uint64)
    return array.astype(np.min_scalar_type(int(array.max(initial=0))))
