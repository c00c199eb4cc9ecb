"""The tree of n-grams in flat arrays."""

import random
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.runtimes.linear import LinearRuntime, LinearSettings
from classifier.text import TextSettings, Tokenizer
from training_import.ngrams import ngram_tree


def names(tree, ngrams):
    """The node of each n-gram."""
    return dict(zip(ngrams, tree.nodes.tolist(), strict=True))


def test_the_tree_by_hand():
    ngrams = [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "a"), ("a", "b", "a")]
    tree = ngram_tree(ngrams)
    # The n-grams have "a" six times, "b" four times and "c" twice.
    assert tree.vocabulary == ("a", "b", "c")
    assert tree.arrays["words_2"].tolist() == [1, 2, 0]
    assert tree.arrays["children_2"].tolist() == [2, 1, 0]
    assert tree.arrays["words_3"].tolist() == [0]
    assert tree.arrays["children_3"].tolist() == [1, 0, 0]
    assert tree.nodes.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert tree.node_count == 7


def test_every_node_is_a_feature_if_every_prefix_is_an_ngram():
    assert ngram_tree([("a",), ("a", "b"), ("b",)]).is_feature.all()


def test_a_beginning_that_is_not_an_ngram_is_a_node_but_not_a_feature():
    tree = ngram_tree([("a", "b", "c")])
    assert tree.vocabulary == ("a", "b", "c")
    assert tree.node_count == 5  # three tokens, "a b" and "a b c"
    assert tree.nodes.tolist() == [4]
    assert tree.is_feature.tolist() == [False, False, False, False, True]


def test_single_tokens_need_no_arrays():
    tree = ngram_tree([("b",), ("a",)])
    assert tree.arrays == {}
    assert tree.vocabulary == ("a", "b")
    assert tree.nodes.tolist() == [1, 0]


def test_an_empty_list_of_ngrams_gives_an_empty_tree():
    tree = ngram_tree([])
    assert (tree.vocabulary, tree.arrays, tree.node_count) == ((), {}, 0)
    assert tree.is_feature.tolist() == []


def test_tokens_are_ordered_by_frequency_and_then_alphabetically():
    tree = ngram_tree([("z",), ("z", "y"), ("b",), ("a",)])
    assert tree.vocabulary == ("z", "a", "b", "y")


@pytest.mark.parametrize(("tokens", "dtype"), [(256, "uint8"), (257, "uint16"), (65_537, "uint32")])
def test_words_have_the_smallest_type_that_fits_the_last_token(tokens, dtype):
    ring = [f"{i:05}" for i in range(tokens)]
    tree = ngram_tree(list(pairwise([*ring, ring[0]])))
    assert tree.arrays["words_2"].max() == tokens - 1
    assert tree.arrays["words_2"].dtype == dtype
    assert tree.arrays["children_2"].dtype == "uint8"


@pytest.mark.parametrize(("children", "dtype"), [(255, "uint8"), (256, "uint16")])
def test_children_have_the_smallest_type_that_fits_the_largest_count(children, dtype):
    tree = ngram_tree([("a", f"{i:03}") for i in range(children)])
    assert tree.arrays["children_2"].max() == children
    assert tree.arrays["children_2"].dtype == dtype


@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4).map(tuple), unique=True))
def test_the_tree_does_not_depend_on_the_order_of_the_ngrams(ngrams):
    shuffled = random.Random(1).sample(ngrams, len(ngrams))
    tree, other = ngram_tree(ngrams), ngram_tree(shuffled)
    assert tree.vocabulary == other.vocabulary
    assert tree.arrays.keys() == other.arrays.keys()
    for name, array in tree.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        assert array.tolist() == other.arrays[name].tolist()
    assert names(tree, ngrams) == names(other, shuffled)


ALPHABET = "abcd"
EVERY_SEQUENCE = [seq for length in range(1, 5) for seq in product(ALPHABET + "x", repeat=length)]
"""All sequences of one to four tokens; no n-gram has "x"."""


@given(
    st.lists(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=4).map(tuple), min_size=1, unique=True)
)
def test_exactly_the_ngrams_are_found_each_with_its_own_weight(ngrams):
    tree = ngram_tree(ngrams)
    weights = np.zeros((tree.node_count, 1))
    weights[tree.nodes, 0] = 1 + np.random.default_rng(3).choice(10**6, len(ngrams), replace=False)
    weight_of = dict(zip(ngrams, weights[tree.nodes, 0].tolist(), strict=True))
    tokenizer = Tokenizer(TextSettings(max_tokens=4), tree.vocabulary)
    runtime = LinearRuntime(
        tree.arrays | {"weights": weights, "intercept": np.zeros(1)},
        LinearSettings(term_frequency="count", norm=None),
        tokenizer,
        columns=1,
    )
    scored = runtime.score(tokenizer.encode([" ".join(sequence) for sequence in EVERY_SEQUENCE]))
    expected = [
        sum(
            weight_of.get(sequence[start:end], 0)
            for start in range(len(sequence))
            for end in range(start + 1, len(sequence) + 1)
        )
        for sequence in EVERY_SEQUENCE
    ]
    assert scored.scores[:, 1].tolist() == expected
