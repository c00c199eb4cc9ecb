"""Look up n-grams as nodes of a tree."""

import random

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError

_HALF = np.uint64(32)


class NgramTable:
    """A hash table from (node, token id) to node: n-grams as a tree whose first level is the tokens.

    Cuckoo hashing (Pagh and Rodler, 2001): a key is in one of two places, so that a look-up of many keys
    is two gathers and no loop. Keys are `node * id_count + id`.
    """

    def __init__(self, keys: NDArray[np.int64], first_node: int) -> None:
        """`keys` (m, distinct) belong to the nodes `first_node`, `first_node + 1`, …"""
        size = max(16, int(2.4 * len(keys)))
        # A multiplier can bunch keys that lie at equal distances, as n-grams with one last token do.
        # Then others are tried, after some in a larger table.
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
        """Which key (index) stands in each slot, -1 for none; None if they do not come to rest."""
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
        """Where in `keys` (k) there is an n-gram, and its nodes; both of the same length, at most k."""
        slots = self._slots(keys, 0)
        second = self._slots(keys, 1)
        np.copyto(slots, second, where=self._keys[slots] != keys)
        hits = (self._keys[slots] == keys).nonzero()[0]
        return hits, self._nodes[slots[hits]].astype(np.int64)
