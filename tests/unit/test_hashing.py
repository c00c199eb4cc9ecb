"""The hash function is that of scikit-learn, for parts of every length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from classifier.runtimes.hashing import murmurhash3


def hash_values(strings: list[bytes]) -> list[int]:
    lengths = np.fromiter(map(len, strings), np.int64, len(strings))
    content = np.frombuffer(b"".join(strings), np.uint8)
    return murmurhash3(content, lengths.cumsum() - lengths, lengths).tolist()


@given(st.lists(st.one_of(st.binary(max_size=12), st.binary(min_size=13, max_size=150)), max_size=20))
def test_hash_values_are_those_of_scikit_learn(strings: list[bytes]) -> None:
    assert hash_values(strings) == [murmurhash3_32(string, 0) for string in strings]


@given(st.binary(min_size=1, max_size=60), st.data())
def test_parts_can_overlap(content: bytes, data: st.DataObject) -> None:
    bound = st.integers(0, len(content))
    pairs = [sorted(pair) for pair in data.draw(st.lists(st.tuples(bound, bound), max_size=9))]
    starts = np.array([start for start, _ in pairs], np.int64)
    lengths = np.array([stop - start for start, stop in pairs], np.int64)
    found = murmurhash3(np.frombuffer(content, np.uint8), starts, lengths)
    assert found.tolist() == [murmurhash3_32(content[start:stop], 0) for start, stop in pairs]


def test_a_string_that_ends_in_zeros_differs_from_one_without_them() -> None:
    assert len(set(hash_values([b"a", b"a\0", b"a\0\0\0", b"", b"\0"]))) == 5
