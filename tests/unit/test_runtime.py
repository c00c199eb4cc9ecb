"""The table of n-grams, linear models and networks."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from classifier.errors import ArtifactError
from classifier.runtimes.linear import (
    MIN_SHORT_SHARE,
    LinearRuntime,
    LinearSettings,
    familiarity,
    short_shares,
)
from classifier.runtimes.ngram_table import NgramTable
from classifier.runtimes.onnx import OnnxRuntime, OnnxSettings
from classifier.runtimes.runtime import column_count
from classifier.text import Encoded, TextSettings, Tokenizer
from training_import.ngrams import ngram_tree

# The table of n-grams


@given(
    st.lists(st.integers(0, 2**40), unique=True, max_size=60),
    st.lists(st.integers(0, 2**40), max_size=20),
    st.integers(0, 1000),
)
def test_the_table_finds_exactly_its_keys(keys: list[int], others: list[int], first_node: int) -> None:
    table = NgramTable(np.array(keys, np.int64), first_node)
    asked = keys + others
    hits, nodes = table.find(np.array(asked, np.int64))
    nodes_of = {key: first_node + i for i, key in enumerate(keys)}
    assert list(zip(hits.tolist(), nodes.tolist(), strict=True)) == [
        (i, nodes_of[key]) for i, key in enumerate(asked) if key in nodes_of
    ]


@given(st.integers(1, 2000), st.integers(0, 2**30), st.integers(1, 2**31))
def test_keys_in_an_arithmetic_progression_are_found(count: int, start: int, step: int) -> None:
    keys = start + step * np.arange(count)
    hits, nodes = NgramTable(keys, 0).find(keys)
    assert np.array_equal(hits, np.arange(count))
    assert np.array_equal(nodes, np.arange(count))


def test_n_grams_of_every_token_with_one_last_token_are_found() -> None:
    id_count, last = 920, 2
    keys = np.arange(771) * id_count + last
    hits, _ = NgramTable(keys, 0).find(keys)
    assert np.array_equal(hits, np.arange(771))


def test_fifty_thousand_random_keys_are_found() -> None:
    keys = np.random.default_rng(3).permutation(2**20)[:50_000] * 40_503
    hits, nodes = NgramTable(keys, 7).find(keys)
    assert np.array_equal(hits, np.arange(50_000))
    assert np.array_equal(nodes, 7 + np.arange(50_000))


def test_other_keys_are_not_found_among_fifty_thousand_random_keys() -> None:
    keys = np.random.default_rng(3).permutation(2**20)[:50_000] * 40_503
    hits, _ = NgramTable(keys, 7).find(keys + 1)
    assert len(hits) == 0


def test_a_table_without_keys_finds_nothing() -> None:
    hits, nodes = NgramTable(np.empty(0, np.int64), 5).find(np.arange(100))
    assert (len(hits), len(nodes)) == (0, 0)


def test_three_equal_keys_are_refused() -> None:
    with pytest.raises(ArtifactError, match="3 n-grams cannot be hashed; are some of them equal"):
        NgramTable(np.array([5, 5, 5]), 0)


# The linear model

WORDS = ["film", "good", "bad", "not", "the", "very", "plot", "a", "actor", "great", "dull", "scene", "end"]


def _random_texts(count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(0, 25))) for _ in range(count)]


TRAINING_TEXTS = _random_texts(40, seed=1)
NEW_TEXTS = [*_random_texts(15, seed=2), "", "never seen words", "good", "good good good", "xyz good xyz bad"]


def _runtime_like(
    vectorizer: CountVectorizer, settings: LinearSettings, classes: int
) -> tuple[LinearRuntime, Tokenizer, NDArray[np.float64], NDArray[np.float64]]:
    """Return a runtime with random weights for the features of a fitted vectorizer, and these weights."""
    ngrams = [tuple(name.split(" ")) for name in vectorizer.get_feature_names_out()]
    tree = ngram_tree(ngrams)
    columns = 1 if classes == 2 else classes
    generator = np.random.default_rng(classes)
    coefficients = generator.normal(size=(len(ngrams), columns))
    intercept = generator.normal(size=columns)
    weights = np.zeros((tree.node_count, columns))
    weights[tree.nodes] = coefficients
    scale = np.zeros(tree.node_count)
    scale[tree.nodes] = getattr(vectorizer, "idf_", 1.0)
    arrays = {**tree.arrays, "weights": weights, "intercept": intercept, "scale": scale}
    if settings.short_ngrams is not None:
        arrays["short_weights"] = generator.normal(size=weights.shape)
        arrays["short_intercept"] = generator.normal(size=columns)
    tokenizer = Tokenizer(
        TextSettings(
            normalize=None, strip_html=False, max_tokens=1000, token_pattern=vectorizer.token_pattern
        ),
        tree.vocabulary,
    )
    return (
        LinearRuntime(arrays, settings, tokenizer, column_count(classes)),
        tokenizer,
        coefficients,
        intercept,
    )


VECTORIZERS: list[tuple[str, CountVectorizer, dict[str, Any]]] = [
    ("count", CountVectorizer(), {"term_frequency": "count", "norm": None}),
    ("binary", CountVectorizer(binary=True), {"term_frequency": "binary", "norm": None}),
    ("tf-idf l2", TfidfVectorizer(), {"term_frequency": "count", "norm": "l2"}),
    ("tf-idf l1", TfidfVectorizer(norm="l1"), {"term_frequency": "count", "norm": "l1"}),
    ("tf-idf unscaled", TfidfVectorizer(use_idf=False), {"term_frequency": "count", "norm": "l2"}),
    ("log tf-idf", TfidfVectorizer(sublinear_tf=True), {"term_frequency": "log", "norm": "l2"}),
    ("log", TfidfVectorizer(sublinear_tf=True, norm=None), {"term_frequency": "log", "norm": None}),
    ("binary tf-idf", TfidfVectorizer(binary=True), {"term_frequency": "binary", "norm": "l2"}),
    ("binary l1", TfidfVectorizer(binary=True, norm="l1"), {"term_frequency": "binary", "norm": "l1"}),
]


@pytest.mark.parametrize("classes", [2, 20])
@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 3), (2, 2), (2, 3)], ids=str)
@pytest.mark.parametrize(
    ("vectorizer", "weighing"), [case[1:] for case in VECTORIZERS], ids=[case[0] for case in VECTORIZERS]
)
def test_linear_scores_equal_scikit_learn_s(
    vectorizer: CountVectorizer, weighing: dict[str, Any], ngram_range: tuple[int, int], classes: int
) -> None:
    # min_df leaves n-grams out, so that a text has unknown ones and some nodes are not features.
    vectorizer = vectorizer.set_params(ngram_range=ngram_range, min_df=3).fit(TRAINING_TEXTS)
    runtime, tokenizer, weights, intercept = _runtime_like(vectorizer, LinearSettings(**weighing), classes)
    expected = vectorizer.transform(NEW_TEXTS) @ weights + intercept
    if classes == 2:
        expected = np.hstack([np.zeros_like(expected), expected])
    np.testing.assert_allclose(
        runtime.score(tokenizer.encode(NEW_TEXTS)).scores, expected, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("norm", [None, "l1", "l2"])
@pytest.mark.parametrize("term_frequency", ["binary", "count", "log"])
def test_a_missing_scale_equals_a_scale_of_one(term_frequency: str, norm: str | None) -> None:
    tree = ngram_tree([("good",), ("film",), ("good", "film")])
    arrays = tree.arrays | {"weights": np.array([[1.0], [-2.0], [0.5]]), "intercept": np.array([0.25])}
    settings = LinearSettings(term_frequency=term_frequency, norm=norm)
    tokenizer = Tokenizer(TextSettings(max_tokens=100), tree.vocabulary)
    batch = tokenizer.encode(["good film good film film", "", "film"])
    without = LinearRuntime(arrays, settings, tokenizer, 1).score(batch).scores
    scaled = LinearRuntime(arrays | {"scale": np.ones(3)}, settings, tokenizer, 1).score(batch).scores
    np.testing.assert_allclose(without, scaled, rtol=1e-14)


def test_half_precision_weights_are_read_as_they_are() -> None:
    runtime, tokenizer = _small_linear(weights=np.array([[0.1], [0.2], [0.3]], np.float16))
    expected = float(np.float16(0.1)) + 0.25
    assert runtime.score(tokenizer.encode(["film"])).scores[0, 1] == pytest.approx(expected, rel=1e-7)


def test_no_n_gram_spans_two_texts() -> None:
    runtime, tokenizer = _small_linear()
    scores = runtime.score(tokenizer.encode(["good film", "good", "film"])).scores
    assert scores[:, 1].tolist() == [1 - 2 + 0.5 + 0.25, -2 + 0.25, 1 + 0.25]


def test_no_n_gram_spans_an_unknown_token() -> None:
    runtime, tokenizer = _small_linear()
    assert runtime.score(tokenizer.encode(["good xyz film"])).scores[0, 1] == 1 - 2 + 0.25


def test_an_empty_text_scores_the_intercept() -> None:
    runtime, tokenizer = _small_linear()
    assert runtime.score(tokenizer.encode([""])).scores.tolist() == [[0, 0.25]]


def test_an_empty_batch_has_no_scores() -> None:
    runtime, tokenizer = _small_linear()
    assert runtime.score(tokenizer.encode([])).scores.shape == (0, 2)


def test_text_and_node_numbers_of_more_than_32_bits_are_distinguished() -> None:
    vocabulary_size, texts = 2**21, 1025
    weights = np.arange(vocabulary_size, dtype=np.float64)[:, None]
    runtime = LinearRuntime(
        {"weights": weights, "intercept": np.zeros(1)},
        LinearSettings(term_frequency="count", norm=None),
        Tokenizer(TextSettings(max_tokens=1), (None,) * vocabulary_size),
        1,
    )
    tokens = vocabulary_size - 1 - np.arange(texts)
    ids = np.stack([tokens, np.full(texts, vocabulary_size + 1)], axis=1).ravel()
    batch = Encoded(ids, np.arange(1, 2 * texts, 2), np.ones(texts, np.int64), *np.zeros((2, texts), bool))
    assert np.array_equal(runtime.score(batch).scores[:, 1], tokens)


wordy_texts = st.lists(st.sampled_from([*WORDS, "xyz", "never"]), max_size=12).map(" ".join)
LAW_RUNTIMES = [
    _runtime_like(
        TfidfVectorizer(ngram_range=(1, 3), min_df=2).fit(TRAINING_TEXTS),
        LinearSettings(term_frequency="log", norm="l2", short_ngrams=short_ngrams, min_evidence=min_evidence),
        classes,
    )[:2]
    for classes in (2, 20)
    # With 3, texts of 12 known n-grams or more are not short ones.
    for short_ngrams, min_evidence in ((None, None), (3.0, None), (3.0, 2.0))
]


@pytest.mark.parametrize(
    ("runtime", "tokenizer"),
    LAW_RUNTIMES,
    ids=[
        f"{classes} classes{kind}" for classes in (2, 20) for kind in ("", ", short weights", ", with doubts")
    ],
)
@given(texts=st.lists(wordy_texts, min_size=1, max_size=8))
def test_linear_scores_of_a_text_do_not_depend_on_its_batch(
    runtime: LinearRuntime, tokenizer: Tokenizer, texts: list[str]
) -> None:
    batch = runtime.score(tokenizer.encode(texts))
    single = [runtime.score(tokenizer.encode([text])) for text in texts]
    assert np.array_equal(batch.scores, [one.scores[0] for one in single])
    assert batch.is_doubtful.tolist() == [bool(one.is_doubtful[0]) for one in single]


# n-grams in node order: ("film",), ("good",), then ("good", "film")
SMALL_WEIGHTS = np.array([[1.0], [-2.0], [0.5]])


def _small_linear(
    classes: int = 2,
    short_ngrams: float | None = None,
    min_evidence: float | None = None,
    **changes: NDArray[Any] | None,
) -> tuple[LinearRuntime, Tokenizer]:
    """Return a runtime of three n-grams; `changes` has arrays to replace or add, or None to leave one out."""
    tree = ngram_tree([("good",), ("film",), ("good", "film")])
    arrays: Mapping[str, NDArray[Any] | None] = (
        tree.arrays | {"weights": SMALL_WEIGHTS, "intercept": np.array([0.25])} | changes
    )
    tokenizer = Tokenizer(TextSettings(max_tokens=100), tree.vocabulary)
    runtime = LinearRuntime(
        {name: array for name, array in arrays.items() if array is not None},
        LinearSettings(
            term_frequency="count", norm=None, short_ngrams=short_ngrams, min_evidence=min_evidence
        ),
        tokenizer,
        column_count(classes),
    )
    return runtime, tokenizer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "weights.npz lacks weights"),
        ({"weights": None, "intercept": None}, "weights.npz lacks intercept, weights"),
        ({"children_2": None}, "children_2 must be a flat array of unsigned integers"),
        ({"words_2": np.array([0.0])}, "words_2 must be a flat array of unsigned integers"),
        ({"words_2": np.array([[0]], np.uint8)}, "words_2 must be a flat array of unsigned integers"),
        ({"words_2": np.array([-1])}, "words_2 must be a flat array of unsigned integers"),
        ({"words_2": np.array([2], np.uint8)}, "words_2 and children_2 do not fit the level above"),
        ({"words_2": np.array([0, 1], np.uint8)}, "words_2 and children_2 do not fit the level above"),
        ({"children_2": np.array([1], np.uint8)}, "words_2 and children_2 do not fit the level above"),
        ({"children_2": np.array([0, 2], np.uint8)}, "words_2 and children_2 do not fit the level above"),
        ({"words_4": np.array([0], np.uint8)}, "words_3 must be a flat array of unsigned integers"),
        ({"weights": np.zeros((4, 1))}, "weights of shape (4, 1) and intercept of shape (1,) do not fit 3"),
        ({"weights": np.zeros((3, 2))}, "weights of shape (3, 2) and intercept of shape (1,) do not fit 3"),
        ({"weights": np.zeros(3)}, "weights of shape (3,) and intercept of shape (1,) do not fit 3"),
        ({"intercept": np.zeros(2)}, "intercept of shape (2,) do not fit 3 n-grams and 2 classes"),
        ({"scale": np.ones(2)}, "scale of shape (2,) does not fit 3 n-grams"),
    ],
)
def test_inconsistent_arrays_are_refused_by_name(
    changes: dict[str, NDArray[Any] | None], message: str
) -> None:
    with pytest.raises(ArtifactError, match=re.escape(message)):
        _small_linear(**changes)


def test_weights_for_two_classes_do_not_fit_three() -> None:
    with pytest.raises(ArtifactError, match=r"do not fit 3 n-grams and 3 classes"):
        _small_linear(classes=3)


# Weights for short texts

SHORT = {"short_weights": np.array([[10.0], [20.0], [30.0]]), "short_intercept": np.array([-4.0])}


def _small_with_short(
    short_ngrams: float | None = 2.0,
    min_evidence: float | None = None,
    classes: int = 2,
    **changes: NDArray[Any] | None,
) -> tuple[LinearRuntime, Tokenizer]:
    return _small_linear(classes, short_ngrams, min_evidence, **{**SHORT, **changes})


@pytest.mark.parametrize(
    ("text", "distinct", "long", "short"),
    [
        ("", 0, 0.25, -4),
        ("xyz", 0, 0.25, -4),
        ("film", 1, 1 + 0.25, 10 - 4),
        ("film film film", 1, 3 + 0.25, 30 - 4),
        ("film. xyz good", 2, 1 - 2 + 0.25, 10 + 20 - 4),
        ("good film", 3, 1 - 2 + 0.5 + 0.25, 10 + 20 + 30 - 4),
    ],
)
def test_a_score_is_a_mixture_by_how_many_distinct_n_grams_are_known(
    text: str, distinct: int, long: float, short: float
) -> None:
    runtime, tokenizer = _small_with_short(short_ngrams=2.0)
    share = np.exp(-distinct / 2)
    (scores,) = runtime.score(tokenizer.encode([text])).scores.tolist()
    assert scores == [0, pytest.approx((1 - share) * long + share * short, rel=1e-12)]


def test_a_text_without_known_n_grams_is_scored_only_as_a_short_one() -> None:
    runtime, tokenizer = _small_with_short()
    assert runtime.score(tokenizer.encode([""])).scores.tolist() == [[0, -4]]


def test_a_text_with_many_n_grams_is_scored_exactly_as_without_weights_for_short_texts() -> None:
    runtime, tokenizer = _small_with_short(short_ngrams=3 / -np.log(0.99 * MIN_SHORT_SHARE))
    plain, _ = _small_linear()
    batch = tokenizer.encode(["good film"])
    assert runtime.score(batch).scores.tolist() == plain.score(batch).scores.tolist()
    few = tokenizer.encode(["good xyz film"])
    assert runtime.score(few).scores.tolist() != plain.score(few).scores.tolist()


def test_a_share_below_the_bound_is_zero_and_the_bound_is_kept() -> None:
    shares = short_shares(np.arange(1000), 100.0)
    last = int(100 * -np.log(MIN_SHORT_SHARE))
    assert shares[0] == 1
    assert (np.diff(shares[: last + 1]) < 0).all()
    assert shares[last] >= MIN_SHORT_SHARE
    assert not shares[last + 1 :].any()


@pytest.mark.parametrize("classes", [2, 20])
@pytest.mark.parametrize(
    ("vectorizer", "weighing"), [case[1:] for case in VECTORIZERS], ids=[case[0] for case in VECTORIZERS]
)
def test_scores_with_short_weights_mix_the_scores_of_two_models_for_every_setting(
    vectorizer: CountVectorizer, weighing: dict[str, Any], classes: int
) -> None:
    vectorizer = vectorizer.set_params(ngram_range=(1, 2), min_df=1).fit(TRAINING_TEXTS)
    tree = ngram_tree([tuple(name.split(" ")) for name in vectorizer.get_feature_names_out()])
    generator = np.random.default_rng(classes)
    columns = 1 if classes == 2 else classes
    shape = (tree.node_count, columns)
    long = {"weights": generator.normal(size=shape), "intercept": generator.normal(size=columns)}
    short = {"weights": generator.normal(size=shape), "intercept": generator.normal(size=columns)}
    text = TextSettings(max_tokens=1000, token_pattern=vectorizer.token_pattern)
    tokenizer = Tokenizer(text, tree.vocabulary)
    batch = tokenizer.encode(NEW_TEXTS)

    def scores(arrays: Mapping[str, NDArray[Any]], **changes: float) -> NDArray[np.float64]:
        settings = LinearSettings(**weighing, **changes)
        return LinearRuntime({**tree.arrays, **arrays}, settings, tokenizer, columns).score(batch).scores

    known = (vectorizer.transform(NEW_TEXTS) != 0).sum(axis=1)
    shares = np.exp(-np.asarray(known) / 5)
    shares[shares < MIN_SHORT_SHARE] = 0
    assert (shares == 0).any()
    mixed = scores(long | {f"short_{name}": array for name, array in short.items()}, short_ngrams=5.0)
    np.testing.assert_allclose(mixed, (1 - shares) * scores(long) + shares * scores(short), atol=1e-12)


def test_half_precision_weights_for_short_texts_are_read_as_they_are() -> None:
    runtime, tokenizer = _small_with_short(
        short_ngrams=1e9, short_weights=np.array([[0.1], [0.2], [0.3]], np.float16)
    )
    expected = float(np.float16(0.1)) - 4
    assert runtime.score(tokenizer.encode(["film"])).scores[0, 1] == pytest.approx(expected, rel=1e-7)


def test_an_empty_batch_has_no_scores_with_weights_for_short_texts() -> None:
    runtime, tokenizer = _small_with_short()
    assert runtime.score(tokenizer.encode([])).scores.shape == (0, 2)


def _evidence_of(runtime: LinearRuntime, text: str) -> float:
    terms = runtime.contributions(text, runtime.encode([text]), 0)
    return float(np.abs(terms.values).sum())


@pytest.mark.parametrize("text", ["film", "good", "film film xyz"])
def test_a_short_text_with_little_evidence_has_its_score_scaled_down_in_proportion(text: str) -> None:
    plain, tokenizer = _small_with_short()
    evidence = _evidence_of(plain, text)
    doubting, _ = _small_with_short(min_evidence=4 * evidence)
    (expected,) = plain.score(tokenizer.encode([text])).scores
    scored = doubting.score(tokenizer.encode([text]))
    assert scored.scores[0] == pytest.approx(expected / 4, rel=1e-12)
    assert scored.is_doubtful.tolist() == [True]


@pytest.mark.parametrize("text", ["film", "good film"])
def test_a_text_with_enough_evidence_is_scored_as_without_a_bound(text: str) -> None:
    plain, tokenizer = _small_with_short()
    sure, _ = _small_with_short(min_evidence=_evidence_of(plain, text) / 2)
    batch = tokenizer.encode([text])
    assert sure.score(batch).scores.tolist() == plain.score(batch).scores.tolist()
    assert sure.score(batch).is_doubtful.tolist() == [False]


def test_a_text_without_known_n_grams_has_no_evidence() -> None:
    runtime, tokenizer = _small_with_short(min_evidence=1.0)
    scored = runtime.score(tokenizer.encode(["", "xyz abc"]))
    assert scored.scores.tolist() == [[0, 0], [0, 0]]
    assert scored.is_doubtful.tolist() == [True, True]


def test_doubt_about_a_text_does_not_depend_on_its_batch() -> None:
    runtime, tokenizer = _small_with_short(min_evidence=12.0)
    texts = ["film", "good film", "", "film film", "xyz"]
    together = runtime.score(tokenizer.encode(texts))
    assert len(set(together.is_doubtful.tolist())) == 2
    for row, text in enumerate(texts):
        alone = runtime.score(tokenizer.encode([text]))
        assert alone.scores[0].tolist() == together.scores[row].tolist()
        assert alone.is_doubtful[0] == together.is_doubtful[row]


def test_a_long_text_is_never_doubtful() -> None:
    runtime, tokenizer = _small_with_short(short_ngrams=0.01, min_evidence=1e9)
    assert runtime.score(tokenizer.encode(["good film"])).is_doubtful.tolist() == [False]


def test_known_words_without_known_neighbours_are_less_familiar_the_more_they_are() -> None:
    words = np.array([0, 1, 2, 4, 10, 10, 10])
    longer = np.array([0, 0, 0, 0, 0, 2, 9])
    assert familiarity(words, longer).tolist() == [1, 1, 1, 0.5, 0.2, 0.6, 1]


@pytest.mark.parametrize("short_ngrams", [2.0, 0.01], ids=["mixed", "no share"])
def test_contributions_with_weights_for_short_texts_add_up_to_the_scores(short_ngrams: float) -> None:
    runtime, tokenizer = _small_with_short(short_ngrams=short_ngrams)
    for text in ("", "good film", "film film xyz", "good"):
        terms = runtime.contributions(text, runtime.encode([text]), 0)
        assert terms.bias + terms.values.sum(axis=0) == pytest.approx(
            runtime.score(tokenizer.encode([text])).scores[0], abs=1e-9
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"short_weights": None}, "weights.npz lacks short_weights"),
        ({"short_intercept": None}, "weights.npz lacks short_intercept"),
        ({"short_weights": None, "intercept": None}, "weights.npz lacks intercept, short_weights"),
        (
            {"short_ngrams": None},
            "weights.npz has short_intercept, short_weights, but model.short_ngrams is not set",
        ),
        (
            {"short_ngrams": None, "short_weights": None},
            "weights.npz has short_intercept, but model.short_ngrams is not set",
        ),
        (
            {"short_weights": np.zeros((4, 1))},
            "short_weights of shape (4, 1) and short_intercept of shape (1,) do not fit 3 n-grams",
        ),
        (
            {"short_weights": np.zeros((3, 2))},
            "short_weights of shape (3, 2) and short_intercept of shape (1,)",
        ),
        (
            {"short_intercept": np.zeros(2)},
            "short_intercept of shape (2,) do not fit 3 n-grams and 2 classes",
        ),
        ({"short_weights": np.full((3, 1), np.nan)}, "short_weights holds nan, which is not a finite number"),
        ({"short_intercept": np.array([np.inf])}, "short_intercept holds inf, which is not a finite number"),
        ({"short_intercept": np.array(["1"])}, "short_intercept must be numbers"),
    ],
    ids=str,
)
def test_inconsistent_weights_for_short_texts_are_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArtifactError, match=re.escape(message)):
        _small_with_short(**changes)


# Short texts with little evidence


def test_evidence_of_more_than_two_classes_is_that_of_the_class_with_the_most() -> None:
    weights = np.array([[1.0, -3.0, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    both = {"weights": weights, "intercept": np.ones(3)}
    arrays = both | {f"short_{name}": array for name, array in both.items()}
    runtime, tokenizer = _small_with_short(classes=3, min_evidence=6.0, **arrays)
    scored = runtime.score(tokenizer.encode(["film"]))
    assert scored.scores[0] == pytest.approx((1 + weights[0]) / 2)
    assert scored.is_doubtful.tolist() == [True]


def test_without_a_bound_no_text_is_doubtful() -> None:
    runtime, tokenizer = _small_with_short(min_evidence=None)
    assert not runtime.score(tokenizer.encode(["", "xyz", "film"])).is_doubtful.any()


@pytest.mark.parametrize("min_evidence", [0.5, 20.0, 1e6])
def test_contributions_of_a_doubtful_text_add_up_to_its_scores(min_evidence: float) -> None:
    runtime, tokenizer = _small_with_short(min_evidence=min_evidence)
    for text in ("", "good film", "film film xyz", "good"):
        terms = runtime.contributions(text, runtime.encode([text]), 0)
        assert terms.bias + terms.values.sum(axis=0) == pytest.approx(
            runtime.score(tokenizer.encode([text])).scores[0], abs=1e-9
        )


def test_known_words_without_known_neighbours_are_little_evidence() -> None:
    tree = ngram_tree([("a",), ("b",), ("c",), ("d",), ("a", "b"), ("b", "c")])
    weights = np.where(np.arange(6) < 4, 1.0, 0.0)[:, None]
    arrays = {"weights": weights, "intercept": np.zeros(1)}
    arrays |= tree.arrays | {f"short_{name}": array for name, array in arrays.items()}
    settings = LinearSettings(term_frequency="binary", norm=None, short_ngrams=1e9, min_evidence=4.0)
    runtime = LinearRuntime(arrays, settings, Tokenizer(TextSettings(max_tokens=9), tree.vocabulary), 1)
    scored = runtime.score(runtime.encode(["a b c d", "b d a c", "d c b a"]))
    assert scored.scores[:, 1] == pytest.approx([4, 2, 2])
    assert scored.is_doubtful.tolist() == [False, True, True]


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_a_least_evidence_that_is_not_positive_and_finite_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="min_evidence"):
        LinearSettings(term_frequency="binary", norm="l2", short_ngrams=1.0, min_evidence=value)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_a_number_of_n_grams_of_short_texts_that_is_not_positive_and_finite_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="short_ngrams"):
        LinearSettings(term_frequency="binary", norm="l2", short_ngrams=value)


# The network. All its numbers are small whole numbers, so that no order of summation changes a score.

EMBEDDINGS = np.array([[0, 0], [1, -2], [3, 4], [-5, 6], [7, -8]], np.float32)
"""The embeddings of padding (id 0), of unknown tokens (id 1), and of the vocabulary (from id 2 on)."""
FAR_BELOW = np.where(np.arange(5)[:, None] == 0, np.float32(-1000), EMBEDDINGS)
DENSE = np.array([[1, 0, 2], [0, 1, -1]], np.float32)
NETWORK_WORDS = ("good", "bad", "film")
NETWORK_TOKENIZER = Tokenizer(TextSettings(max_tokens=8), NETWORK_WORDS)


def _network(pooling: str, embeddings: NDArray[np.float32], dense: NDArray[np.float32], ids: int) -> bytes:
    """Return a network of an embedding, pooling and a dense layer; `ids` is the element type of the input."""
    nodes = [
        helper.make_node("Cast", ["ids"], ["whole_ids"], to=TensorProto.INT64),
        helper.make_node("Gather", ["embeddings", "whole_ids"], ["embedded"]),
        helper.make_node(pooling, ["embedded"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["pooled", "dense"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("ids", ids, ["n", "length"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", dense.shape[1]])],
        [numpy_helper.from_array(embeddings, "embeddings"), numpy_helper.from_array(dense, "dense")],
    )
    return _model(graph)


def _model(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _mean(dense: NDArray[np.float32] = DENSE, ids: int = TensorProto.INT64, **changes: object) -> OnnxRuntime:
    settings = {"first_id": 2, "unknown_id": 1, "pad_to": 8, "output": "logits"} | changes
    return OnnxRuntime(
        _network("ReduceMean", EMBEDDINGS, dense, ids), OnnxSettings(**settings), NETWORK_TOKENIZER, 3
    )


def _max() -> OnnxRuntime:
    settings = OnnxSettings(first_id=2, unknown_id=1, output="logits")
    return OnnxRuntime(
        _network("ReduceMax", FAR_BELOW, DENSE, TensorProto.INT64), settings, NETWORK_TOKENIZER, 3
    )


NETWORK_RUNTIMES = [_mean(), _mean(pad_side="left"), _max()]


@pytest.mark.parametrize(
    "runtime",
    [_mean(), _mean(pad_side="left"), _mean(ids=TensorProto.INT32), _mean(ids=TensorProto.FLOAT)],
    ids=["right", "left", "int32", "float"],
)
def test_a_network_scores_embeddings_of_the_tokens_padded_to_its_length(runtime: OnnxRuntime) -> None:
    scores = runtime.score(NETWORK_TOKENIZER.encode(["good xyz film", "bad"])).scores
    expected = np.array([EMBEDDINGS[[2, 1, 4]].sum(0) / 8, EMBEDDINGS[3] / 8]) @ DENSE
    assert np.array_equal(scores, expected)


def test_a_network_without_a_fixed_length_gets_the_length_of_the_longest_text() -> None:
    scores = _max().score(NETWORK_TOKENIZER.encode(["good film", "bad"])).scores
    assert np.array_equal(scores, np.array([EMBEDDINGS[[2, 4]].max(0), EMBEDDINGS[3]]) @ DENSE)


@pytest.mark.parametrize(
    ("runtime", "padding"),
    [(_mean(), EMBEDDINGS[0]), (_max(), FAR_BELOW[0])],
    ids=["fixed length", "free length"],
)
def test_an_empty_text_is_all_padding(runtime: OnnxRuntime, padding: NDArray[np.float32]) -> None:
    assert np.array_equal(runtime.score(NETWORK_TOKENIZER.encode([""])).scores, padding[None] @ DENSE)


@pytest.mark.parametrize("runtime", NETWORK_RUNTIMES, ids=["mean, right", "mean, left", "max"])
@given(texts=st.lists(st.lists(st.sampled_from([*NETWORK_WORDS, "x"]), max_size=8), min_size=1, max_size=6))
def test_network_scores_of_a_text_do_not_depend_on_its_batch(
    runtime: OnnxRuntime, texts: list[list[str]]
) -> None:
    joined = [" ".join(words) for words in texts]
    batch = runtime.score(NETWORK_TOKENIZER.encode(joined)).scores
    single = [runtime.score(NETWORK_TOKENIZER.encode([text])).scores[0] for text in joined]
    assert np.array_equal(batch, single)


def test_a_sigmoid_becomes_the_logarithms_of_two_probabilities() -> None:
    # The network gives 2 / 8 for "good good": the sum 3 + 3 of the first embedding, times 1/24.
    runtime = OnnxRuntime(
        _network("ReduceMean", EMBEDDINGS, np.array([[1 / 3], [0]], np.float32), TensorProto.INT64),
        OnnxSettings(first_id=2, unknown_id=1, pad_to=8, output="sigmoid"),
        NETWORK_TOKENIZER,
        2,
    )
    scores = runtime.score(NETWORK_TOKENIZER.encode(["good good"])).scores
    np.testing.assert_allclose(np.exp(scores), [[0.75, 0.25]], rtol=1e-6)


def test_probabilities_become_their_logarithms() -> None:
    runtime = _mean(dense=np.array([[1 / 3, 2 / 3, 1 / 3], [0, 0, 0]], np.float32), output="probabilities")
    scores = runtime.score(NETWORK_TOKENIZER.encode(["good good"])).scores
    np.testing.assert_allclose(np.exp(scores), [[0.25, 0.5, 0.25]], rtol=1e-6)


def test_a_probability_of_zero_has_a_finite_logarithm() -> None:
    runtime = _mean(dense=np.zeros((2, 3), np.float32), output="probabilities")
    assert np.isfinite(runtime.score(NETWORK_TOKENIZER.encode(["good"])).scores).all()


@pytest.mark.parametrize(
    "content", [b"", b"not a network", _network("ReduceMax", EMBEDDINGS, DENSE, 7)[:-40]]
)
def test_bytes_that_are_not_a_network_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"model\.onnx cannot be loaded by ONNX Runtime"):
        OnnxRuntime(content, OnnxSettings(first_id=2, unknown_id=1, output="logits"), NETWORK_TOKENIZER, 3)


def _identity_network(inputs: int, outputs: int, element: int) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"in{i % inputs}"], [f"out{i}"]) for i in range(max(inputs, outputs))],
        "identity",
        [helper.make_tensor_value_info(f"in{i}", element, ["n", 2]) for i in range(inputs)],
        [helper.make_tensor_value_info(f"out{i}", element, ["n", 2]) for i in range(outputs)],
    )
    return _model(graph)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (_identity_network(2, 1, TensorProto.INT64), "in1"),
        (_identity_network(1, 2, TensorProto.INT64), "out1"),
        (_identity_network(1, 1, TensorProto.STRING), "tensor(string)"),
    ],
    ids=["two inputs", "two outputs", "strings"],
)
def test_a_network_with_other_inputs_or_outputs_is_refused(content: bytes, found: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(found)):
        OnnxRuntime(content, OnnxSettings(first_id=2, unknown_id=1, output="logits"), NETWORK_TOKENIZER, 2)


@pytest.mark.parametrize(
    ("output", "expected"), [("logits", (1, 3)), ("probabilities", (1, 3)), ("sigmoid", (1, 1))]
)
def test_an_output_of_the_wrong_shape_is_refused(output: str, expected: tuple[int, int]) -> None:
    runtime = _mean(dense=np.ones((2, 4), np.float32), output=output)
    with pytest.raises(ArtifactError, match=re.escape(f"output has shape (1, 4); expected {expected}")):
        runtime.score(NETWORK_TOKENIZER.encode(["good"]))


@pytest.mark.parametrize(
    ("model", "text", "labels", "message"),
    [
        ({"pad_to": 7}, {}, 2, "model.pad_to is 7; it must be at least text.max_tokens, which is 8"),
        ({"unknown_id": None}, {}, 2, "model.unknown_id is None, but text.unknown is 'keep'"),
        ({}, {"unknown": "drop"}, 2, "model.unknown_id is 1, but text.unknown is 'drop'"),
        ({"output": "sigmoid"}, {}, 3, "model.output is 'sigmoid', which is for two labels; there are 3"),
    ],
)
def test_inconsistent_settings_of_a_network_are_refused(
    model: dict[str, Any], text: dict[str, Any], labels: int, message: str
) -> None:
    settings = OnnxSettings(**{"first_id": 2, "unknown_id": 1, "output": "logits"} | model)
    with pytest.raises(ValueError, match=re.escape(message)):
        OnnxRuntime.check(settings, ["a", "b", "c"][:labels], TextSettings(max_tokens=8, **text))
