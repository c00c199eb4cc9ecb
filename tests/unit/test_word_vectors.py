"""Vectors of words from the words around them."""

import numpy as np
import pytest

from training_import.training.word_vectors import (
    MIN_DOCUMENTS,
    WINDOW,
    WordVectors,
    _co_occurrences,
    word_vectors,
)

FILMS, MEALS = ("film", "movie", "plot", "actor"), ("meal", "dish", "soup", "bread")


def corpus() -> list[list[str]]:
    """Return 200 texts, in which "great" and "superb" are used about films, and "tasty" about meals."""
    generator = np.random.default_rng(4)
    texts = []
    for number in range(200):
        subjects, words = (FILMS, ("great", "superb")) if number % 2 else (MEALS, ("tasty", "salty"))
        texts.append([generator.choice(words), *generator.choice(subjects, 4).tolist()])
    return [[str(word) for word in text] for text in texts]


def similarity(found: WordVectors, first: str, second: str) -> float:
    one, two = (found.vectors[found.words.index(word)] for word in (first, second))
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


@pytest.fixture(scope="module")
def made() -> WordVectors:
    found = word_vectors(corpus(), 0)
    assert found is not None
    return found


def test_words_in_similar_contexts_have_similar_vectors(made: WordVectors) -> None:
    assert similarity(made, "great", "superb") > 0.7
    assert similarity(made, "great", "tasty") < 0
    assert similarity(made, "film", "movie") > similarity(made, "film", "soup")


def test_there_is_a_vector_and_a_frequency_for_each_word_in_enough_texts(made: WordVectors) -> None:
    assert set(made.words) == {*FILMS, *MEALS, "great", "superb", "tasty", "salty"}
    assert made.vectors.shape == (12, 11)
    texts = corpus()
    documents = [sum(word in text for text in texts) for word in made.words]
    assert made.idf == pytest.approx(np.log(len(texts) / np.array(documents)))
    assert documents == sorted(documents, reverse=True)


def test_the_mean_of_the_vectors_weighted_by_frequency_and_idf_is_zero(made: WordVectors) -> None:
    share = made.idf * len(corpus()) * np.exp(-made.idf)
    assert share @ made.vectors / share.sum() == pytest.approx(np.zeros(11), abs=1e-6)


def test_the_same_texts_and_seed_give_the_same_vectors(made: WordVectors) -> None:
    again = word_vectors(corpus(), 0)
    assert again is not None
    assert again.words == made.words
    assert np.array_equal(again.vectors, made.vectors)


def test_a_word_in_too_few_texts_has_no_vector() -> None:
    texts = [["good", "film"]] * MIN_DOCUMENTS + [["rare", "good"]] * (MIN_DOCUMENTS - 1)
    found = word_vectors(texts, 0)
    assert found is not None
    assert found.words == ("good", "film")


def test_a_word_that_is_often_in_one_text_is_in_one_text() -> None:
    texts = [["good", "film", *["often"] * 10], *[["good", "film"]] * MIN_DOCUMENTS]
    found = word_vectors(texts, 0)
    assert found is not None
    assert "often" not in found.words


@pytest.mark.parametrize(
    "texts",
    [[], [[]] * 10, [["good"]] * 10, [["good", "film"]] * (MIN_DOCUMENTS - 1)],
    ids=["no text", "empty texts", "one word", "rare words"],
)
def test_too_few_words_in_several_texts_give_no_vectors(texts: list[list[str]]) -> None:
    assert word_vectors(texts, 0) is None


@pytest.mark.parametrize(
    "texts",
    [[["good"], ["film"]] * 5, [["good", "film"]] * 5, [["good"] * 3, ["film"] * 3] * 5],
    ids=["never together", "always together", "each with itself"],
)
def test_vectors_are_finite_whatever_occurs_together(texts: list[list[str]]) -> None:
    found = word_vectors(texts, 0)
    assert found is not None
    assert np.isfinite(found.vectors).all()
    assert np.isfinite(found.idf).all()


def test_words_count_together_by_the_inverse_root_of_their_distance_in_both_directions() -> None:
    places = {"a": 0, "b": 1, "c": 2}
    together = _co_occurrences([["a", "b", "c"]], places).toarray()
    near, far = 1.0, 2**-0.5
    assert together == pytest.approx(np.array([[0, near, far], [near, 0, near], [far, near, 0]]))


def test_words_of_two_texts_and_words_too_far_apart_do_not_occur_together() -> None:
    places = {"a": 0, "b": 1, "c": 2}
    assert _co_occurrences([["a"], ["b"]], places).nnz == 0
    assert _co_occurrences([["a", *["c"] * WINDOW, "b"]], places)[0, 1] == 0
    assert _co_occurrences([["a", *["c"] * (WINDOW - 1), "b"]], places)[0, 1] == WINDOW**-0.5


def test_a_word_without_a_vector_does_not_count_as_a_distance() -> None:
    assert _co_occurrences([["a", "rare", "b"]], {"a": 0, "b": 1})[0, 1] == 1
