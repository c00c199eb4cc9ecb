"""Passages: they join to the text, and the largest share of a text has the full strength."""

from hypothesis import given
from hypothesis import strategies as st

from classifier.explain.explanation import Word
from training_import.evaluation.passages import Passage, passages

SHARES = st.floats(-5, 5, allow_subnormal=False)


@st.composite
def texts_with_words(draw: st.DrawFn) -> tuple[str, list[Word]]:
    """A text, and words in it that do not overlap."""
    text = draw(st.text(min_size=1, max_size=40))
    cuts = draw(st.lists(st.integers(0, len(text)), unique=True).map(sorted))
    pairs = [(start, end) for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    return text, [Word(place, draw(SHARES)) for place in pairs]


@given(texts_with_words())
def test_the_passages_of_a_text_join_to_the_text(given: tuple[str, list[Word]]) -> None:
    text, words = given
    assert "".join(passage.text for passage in passages(text, words)) == text


@given(texts_with_words())
def test_the_largest_share_of_a_text_has_the_full_strength_and_no_share_has_more(
    given: tuple[str, list[Word]],
) -> None:
    text, words = given
    strengths = [abs(passage.strength) for passage in passages(text, words)]
    assert max(strengths, default=0) == (1 if any(word.share for word in words) else 0)


@given(texts_with_words())
def test_the_shares_of_the_passages_are_those_of_the_words(given: tuple[str, list[Word]]) -> None:
    text, words = given
    found = [passage.share for passage in passages(text, words) if passage.share]
    assert found == [word.share for word in words if word.share]


def test_what_is_between_words_has_no_share() -> None:
    words = [Word((0, 4), 1.0), Word((5, 9), 0.0), Word((11, 14), -0.5)]
    assert passages("good film, bad.", words) == [
        Passage("good", 1.0, 1.0),
        Passage(" film, ", 0.0, 0.0),
        Passage("bad", -0.5, -0.5),
        Passage(".", 0.0, 0.0),
    ]


def test_a_strength_is_rounded_to_the_nearest_of_the_steps() -> None:
    assert [Passage("word", 1, strength).step(3) for strength in (-1, -0.5, -0.1, 0, 0.16, 0.2, 0.9)] == [
        *(-3, -2, 0, 0, 0, 1, 3)
    ]


def test_words_whose_places_overlap_are_one_passage_with_the_sum_of_their_shares() -> None:
    words = [Word((0, 2), 1.0), Word((0, 2), 0.5), Word((1, 4), -0.5), Word((4, 5), 2.0)]
    assert passages("½½abc", words) == [Passage("½½ab", 1.0, 0.5), Passage("c", 2.0, 1.0)]


def test_shares_that_cancel_each_other_have_no_strength() -> None:
    assert passages("½", [Word((0, 1), 1.0), Word((0, 1), -1.0)]) == [Passage("½", 0.0, 0.0)]
