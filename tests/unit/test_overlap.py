"""Training texts that contain much of a test text are found."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_import.overlap import SHINGLE_TOKENS, overlapping

TEXT = " ".join(f"word{number}" for number in range(30))
OTHER = " ".join(f"other{number}" for number in range(30))


def words(first: int, last: int) -> str:
    """Return a part of `TEXT`."""
    return " ".join(TEXT.split()[first:last])


def found(texts: Sequence[str], others: Sequence[str]) -> list[bool]:
    result: list[bool] = overlapping(texts, others).tolist()
    return result


def test_an_exact_copy_overlaps() -> None:
    assert found([OTHER, TEXT], [TEXT]) == [False, True]


def test_a_copy_with_other_capitals_tags_and_punctuation_overlaps() -> None:
    assert found(["<br />" + TEXT.upper().replace(" ", ", ") + "!"], [TEXT]) == [True]


def test_a_text_whose_half_of_shingles_is_copied_overlaps() -> None:
    shared = words(0, 15)  # 8 shingles
    assert found([f"{shared} {' '.join(OTHER.split()[:8])}"], [TEXT]) == [True]  # 16 shingles


def test_a_text_with_one_shingle_less_than_half_copied_does_not_overlap() -> None:
    assert found([f"{words(0, 15)} {' '.join(OTHER.split()[:9])}"], [TEXT]) == [False]  # 17 shingles


def test_halves_copied_from_two_texts_add_up() -> None:
    text = f"{words(0, 15)} {' '.join(OTHER.split()[:15])}"
    assert found([text], [TEXT]) == [False]
    assert found([text], [TEXT, OTHER]) == [True]


def test_a_part_of_a_test_text_overlaps_although_it_is_little_of_that_text() -> None:
    assert found([words(3, 3 + SHINGLE_TOKENS)], [TEXT]) == [True]


def test_the_same_words_in_another_order_do_not_overlap() -> None:
    assert found([" ".join(reversed(TEXT.split()))], [TEXT]) == [False]


def test_a_text_shorter_than_a_shingle_overlaps_only_with_the_same_words() -> None:
    short = words(0, SHINGLE_TOKENS - 1)
    assert found([short], [TEXT]) == [False]
    assert found([short], [words(0, SHINGLE_TOKENS - 2)]) == [False]
    assert found([short], [short.upper() + "."]) == [True]


def test_repeated_words_are_a_text_of_their_number() -> None:
    assert found(["good good", "good", "good good good"], ["good good"]) == [True, False, False]


@pytest.mark.parametrize("blank", ["", "  ", "?!"])
def test_a_text_without_words_overlaps_with_nothing(blank: str) -> None:
    assert found([blank, TEXT], [blank]) == [False, False]
    assert found([blank], [TEXT]) == [False]


def test_no_texts_and_no_other_texts_overlap_with_nothing() -> None:
    assert found([], []) == []
    assert found([], [TEXT]) == []
    assert found([TEXT, ""], []) == [False, False]


few_words = st.lists(st.sampled_from("abc"), max_size=14).map(" ".join)


def shingles(text: str) -> list[tuple[str, ...]]:
    read = text.split()
    size = min(SHINGLE_TOKENS, len(read))
    return [tuple(read[start : start + size]) for start in range(len(read) - size + 1)] if size else []


@given(st.lists(few_words, max_size=6), st.lists(few_words, max_size=6))
def test_the_texts_that_overlap_are_those_found_by_comparing_words(
    texts: list[str], others: list[str]
) -> None:
    theirs = {shingle for other in others for shingle in shingles(other)}
    shares = [np.mean([one in theirs for one in shingles(text)] or [0]) for text in texts]
    assert found(texts, others) == [bool(share >= 0.5) for share in shares]
