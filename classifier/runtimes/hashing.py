"""The hash function of scikit-learn's HashingVectorizer, for many parts of a text at once."""

import numpy as np
from numpy.typing import NDArray

_C1 = np.uint32(0xCC9E2D51)
_C2 = np.uint32(0x1B873593)
_N = np.uint32(0xE6546B64)
_M = np.uint32(5)
_FINAL = (np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35))
_BLOCK = 4
_SMALLEST_WIDTH = 16
"""Shortest parts, in bytes, that are hashed apart from longer ones."""
_MOST_BYTES = 2**22
"""Most bytes of parts that are copied at the same time."""


def murmurhash3(
    content: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return MurmurHash3 (32 bits, x86, seed 0; Appleby, 2011) of n parts of the content, as signed numbers.

    A part has a start and a length in bytes. Parts can overlap.
    """
    hashes = np.zeros(len(starts), np.uint32)
    width, done = _SMALLEST_WIDTH, np.zeros(len(starts), bool)
    while not done.all():
        # Parts of about the same length form one array, so a long part does not widen it for all.
        rows = (~done & (lengths <= width)).nonzero()[0]
        for cut in range(0, len(rows), max(1, _MOST_BYTES // width)):
            some = rows[cut : cut + max(1, _MOST_BYTES // width)]
            hashes[some] = _hashed(content, starts[some], lengths[some], width)
        done[rows] = True
        width *= 2
    return hashes.view(np.int32)


def _hashed(
    content: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], width: int
) -> NDArray[np.uint32]:
    inside = np.arange(width)
    places = np.minimum(starts[:, None] + inside, len(content) - 1)
    parts = np.where(inside < lengths[:, None], content[places] if len(content) else 0, 0).astype(np.uint8)
    blocks = parts.view("<u4")
    hashes = np.zeros(len(starts), np.uint32)
    whole, rest = np.divmod(lengths, _BLOCK)
    for number in range(int(whole.max(initial=0))):
        mixed = _rotated(hashes ^ _scrambled(blocks[:, number]), 13) * _M + _N
        hashes = np.where(whole > number, mixed, hashes)
    has_rest = (rest > 0).nonzero()[0]
    hashes[has_rest] ^= _scrambled(blocks[has_rest, whole[has_rest]])
    hashes ^= lengths.astype(np.uint32)
    for shift, factor in zip((16, 13), _FINAL, strict=True):
        hashes ^= hashes >> np.uint32(shift)
        hashes *= factor
    hashes ^= hashes >> np.uint32(16)
    return hashes


def _scrambled(blocks: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return _rotated(blocks * _C1, 15) * _C2


def _rotated(numbers: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    rotated: NDArray[np.uint32] = (numbers << np.uint32(bits)) | (numbers >> np.uint32(32 - bits))
    return rotated
