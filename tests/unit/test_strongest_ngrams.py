"""The strongest n-grams of a linear model are those whose weights a text with only them shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import FOUR_LABELS, NGRAM_WEIGHTS, doubting_artifact, tiny_artifact

from classifier.artifact import Artifact
from classifier.pipeline import Classifier
from classifier.runtimes import WeightedNgram
from classifier.runtimes.linear import LinearRuntime
from classifier.text import TextSettings
from training_import.ngrams import ngram_tree

FOR_EACH_OF_TWO = np.array([[1.0, -1.0], [-1.0, 1.0]])


def strongest(
    artifact: Artifact, targets: np.ndarray, count: int = 100, stopwords: tuple[str, ...] = ()
) -> list[list[WeightedNgram]]:
    text = artifact.manifest.text.model_copy(update={"stopwords": stopwords})
    found = LinearRuntime.strongest(
        artifact.manifest.model, artifact.weights, artifact.vocabulary, text, targets, count
    )
    assert found is not None
    return found


def test_two_classes_have_the_same_n_grams_in_both_directions() -> None:
    negative, positive = strongest(tiny_artifact(), FOR_EACH_OF_TWO)
    assert positive == [("great", 2.0), ("not bad", 1.75), ("good", 1.0), ("film", 0.125)]
    assert negative == [("awful", 2.5), ("not good", 2.25), ("bad", 1.5)]


def test_no_more_are_returned_than_asked_for() -> None:
    assert strongest(tiny_artifact(), FOR_EACH_OF_TWO, count=1) == [[("awful", 2.5)], [("great", 2.0)]]


def test_a_node_that_only_begins_n_grams_is_not_one() -> None:
    names = {ngram for found in strongest(tiny_artifact(), FOR_EACH_OF_TWO) for ngram, _ in found}
    assert names == {" ".join(ngram) for ngram in NGRAM_WEIGHTS}


def test_n_grams_with_stop_words_are_left_out() -> None:
    negative, positive = strongest(tiny_artifact(), FOR_EACH_OF_TWO, stopwords=("not",))
    assert "not bad" not in dict(positive)
    assert "not good" not in dict(negative)


def test_the_n_grams_of_short_texts_have_the_weights_for_short_texts() -> None:
    artifact = doubting_artifact()
    short, long = (
        LinearRuntime.strongest(
            artifact.manifest.model,
            artifact.weights,
            artifact.vocabulary,
            artifact.manifest.text,
            FOR_EACH_OF_TWO,
            2,
            for_short_texts,
        )
        for for_short_texts in (True, False)
    )
    assert long == [[("awful", 2.5), ("not good", 2.25)], [("great", 2.0), ("not bad", 1.75)]]
    assert short == [[("awful", 5.0), ("not good", 4.5)], [("great", 4.0), ("not bad", 3.5)]]


@pytest.mark.parametrize("label", range(4))
def test_the_value_of_an_n_gram_is_what_it_adds_to_the_score_of_a_text(label: int) -> None:
    artifact = tiny_artifact(FOUR_LABELS)
    target = np.where(np.arange(4) == label, 1, -1 / 3)
    (found,) = strongest(artifact, target[None])
    classifier = Classifier(artifact)
    for ngram, value in found:
        whole, *parts = (classifier.score([text])[0] @ target for text in (ngram, *ngram.split()))
        alone = whole if len(parts) == 1 else whole - sum(parts)
        assert value == pytest.approx(alone)


NGRAMS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(tuple)


@given(st.dictionaries(NGRAMS, st.floats(0.125, 8), min_size=1, max_size=30))
def test_every_n_gram_is_found_with_its_weight_times_its_scale(weights: dict[tuple[str, ...], float]) -> None:
    tree = ngram_tree(list(weights))
    column = np.zeros((tree.node_count, 1))
    column[tree.nodes, 0] = list(weights.values())
    arrays = {"weights": column, "intercept": np.zeros(1), "scale": np.full(tree.node_count, 2.0)}
    text = TextSettings(max_tokens=9)
    (found,) = LinearRuntime.strongest_of(
        tree.arrays | arrays, tree.vocabulary, text, FOR_EACH_OF_TWO[1:], 100
    )
    assert dict(found) == {" ".join(ngram): 2 * weight for ngram, weight in weights.items()}
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
