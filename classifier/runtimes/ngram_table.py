"""Look up n-grams, which are the nodes of a tree."""

import random

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError

_HALF = np.uint64(32)


class NgramTable:
    """A hash table from (node, token id) to the node of the longer n-gram.

    The n-grams are a tree whose first level is the tokens. A key is `node * id_count + id`. With cuckoo
    hashing (Pagh and Rodler, 2001) a key is in one of two places, so looking up many keys takes two gathers
    and no loop.
    """

    def __init__(self, keys: NDArray[np.int64], first_node: int) -> None:
        """Make the table of m distinct keys, whose nodes are `first_node`, `first_node + 1`, …

        Raises ArtifactError if the keys cannot be hashed.
        """
        size = max(16, int(2.4 * len(keys)))
        # A multiplier can map keys at equal distances, as of n-grams with the same last token, to few places.
        # Then other multipliers are tried, and after some attempts a larger table.
        generator = random.Random(0)  # noqa: S311
        for attempt in range(32):
            self._multipliers = [np.uint64(generator.getrandbits(64) | 1) for _ in range(2)]
            self._size = np.uint64(size << attempt // 8)
            owners = self._place(keys)
            if owners is not None:
                break
        else:
            raise ArtifactError(f"the {len(keys)} n-grams cannot be hashed; are some of them equal?")
        taken = (owners >= 0).nonzero()[0]
        self._keys = np.full(len(owners), -1)
        self._keys[taken] = keys[owners[taken]]
        self._nodes = owners
        self._nodes += first_node

    def _slots(self, keys: NDArray[np.int64], which: int) -> NDArray[np.int64]:
        hashed = keys.view(np.uint64) * self._multipliers[which]
        hashed >>= _HALF
        hashed *= self._size
        hashed >>= _HALF
        return hashed.view(np.int64)

    def _place(self, keys: NDArray[np.int64]) -> NDArray[np.int32] | None:
        """Return the index of the key in each slot, -1 for none; or None if some keys find no place."""
        slots = np.stack([self._slots(keys, 0), self._slots(keys, 1)])
        owners = np.full(int(self._size), -1, np.int32)
        place = np.zeros(len(keys), np.int8)
        waiting = np.arange(len(keys), dtype=np.int32)
        for _ in range(500):
            if not len(waiting):
                return owners
            wanted = slots[place[waiting], waiting]
            before = owners[wanted]
            owners[wanted] = waiting
            placed = owners[wanted] == waiting
            evicted = before[placed]
            waiting = np.concatenate([waiting[~placed], evicted[evicted >= 0]])
            place[waiting] ^= 1
        return None

    def find(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which of k keys are n-grams, as indices into `keys`, and the nodes of these n-grams."""
        slots = self._slots(keys, 0)
        second = self._slots(keys, 1)
        np.copyto(slots, second, where=self._keys[slots] != keys)
        hits = (self._keys[slots] == keys).nonzero()[0]
        return hits, self._nodes[slots[hits]].astype(np.int64)
