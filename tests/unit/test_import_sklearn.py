"""Importing scikit-learn models: an imported model answers as before, and others are refused by name."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import SelectKBest, SelectPercentile, chi2, f_classif
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    PassiveAggressiveClassifier,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from skops import io as skops_io

from classifier.artifact import write_artifact
from classifier.explain.explain import explain_text
from classifier.explain.explanation import Method
from classifier.pipeline import Classifier, load_classifier
from classifier.runtimes.linear import pack_arrays, unpack_arrays
from training_import.conversion.comparison import compare
from training_import.conversion.converted import ImportOptions, UnsupportedModel
from training_import.conversion.foreign_files import source_kind
from training_import.conversion.import_model import check_texts, import_model

GOOD = [
    "a wonderful film with a wonderful cast",
    "great acting and a great story",
    "I loved every minute of it",
    "the best movie of the year",
    "a charming little café comedy",
    "beautiful music, beautiful pictures",
    "not bad at all, I was surprised",
    "funny, warm and very clever",
    "the naïve hero won my heart",
    "superb from the first scene to the last",
    "I would see it again and again",
    "moving without being sentimental",
    "one of the great films of our time",
    "brilliant dialogue, brilliant direction",
    "a joy to watch with the family",
    "the cast is great and so is the story",
    "smart, fast and great fun",
    "the ending made me cry with joy",
    "a masterpiece, no less",
    "Très bien, a lovely film",
]
BAD = [
    "a terrible film with a terrible cast",
    "awful acting and a dull story",
    "I hated every minute of it",
    "the worst movie of the year",
    "a tired and lazy comedy",
    "ugly music, ugly pictures",
    "not good at all, I was bored",
    "stupid, cold and very slow",
    "the naïve plot broke my patience",
    "boring from the first scene to the last",
    "I would never see it again",
    "sentimental without being moving",
    "one of the dull films of our time",
    "wooden dialogue, clumsy direction",
    "a pain to watch with anyone",
    "the cast is bad and so is the story",
    "long, loud and no fun",
    "the ending made me leave the café",
    "a disaster, no less",
    "not worth the ticket",
]
MIXED = [
    "some good scenes and some bad ones",
    "neither great nor terrible",
    "an average film of its kind",
    "the first half is fun, the second is slow",
    "good music but a dull story",
    "it was fine, I suppose",
    "watch it once and forget it",
    "the cast is good, the plot is not",
    "half charming, half boring",
    "nothing new, nothing wrong",
    "an ordinary comedy for an ordinary day",
    "I liked it and I did not",
    "could be better, could be worse",
    "so so, with a nice ending",
    "the pictures are great, the dialogue is not",
    "a decent film for a rainy evening",
    "slow at times, moving at others",
    "average acting, average direction",
    "it passes the time",
    "see it if there is no other",
]
TWO = (GOOD + BAD, ["good"] * 20 + ["poor"] * 20)
THREE = (GOOD + BAD + MIXED, ["good"] * 20 + ["poor"] * 20 + ["so-so"] * 20)
CORPORA = pytest.mark.parametrize("corpus", [TWO, THREE], ids=["two classes", "three classes"])

ANY_TOKENS = {"token_pattern": r"\S+"}
PUNCTUATION = {"token_pattern": r"\w+|[^\w\s]"}

VECTORIZERS: dict[str, Callable[[], list[object]]] = {
    "counts": lambda: [CountVectorizer()],
    "presence": lambda: [CountVectorizer(binary=True)],
    "up to trigrams": lambda: [CountVectorizer(ngram_range=(1, 3), min_df=2)],
    "only bigrams": lambda: [CountVectorizer(ngram_range=(2, 2))],
    "bigrams of words that are not features": lambda: [TfidfVectorizer(ngram_range=(1, 2), max_features=25)],
    "presence with a norm and words that are not features": lambda: [
        TfidfVectorizer(ngram_range=(2, 3), max_features=30, binary=True, use_idf=False)
    ],
    "counts with a norm and words that are not features": lambda: [
        TfidfVectorizer(ngram_range=(2, 3), max_features=30, use_idf=False, norm="l1")
    ],
    "tf-idf": lambda: [TfidfVectorizer()],
    "tf-idf in single precision": lambda: [TfidfVectorizer(dtype=np.float32)],
    "sublinear": lambda: [TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))],
    "presence and sublinear": lambda: [TfidfVectorizer(binary=True, sublinear_tf=True)],
    "idf off": lambda: [TfidfVectorizer(use_idf=False)],
    "idf not smoothed": lambda: [TfidfVectorizer(smooth_idf=False)],
    "no norm": lambda: [TfidfVectorizer(norm=None)],
    "l1 norm": lambda: [TfidfVectorizer(norm="l1", ngram_range=(1, 2))],
    "English stop words": lambda: [CountVectorizer(stop_words="english", ngram_range=(1, 2))],
    "a list of stop words": lambda: [TfidfVectorizer(stop_words=["the", "of", "It"], ngram_range=(1, 2))],
    "accents to ASCII": lambda: [TfidfVectorizer(strip_accents="ascii")],
    "accents to Unicode": lambda: [CountVectorizer(strip_accents="unicode")],
    "case preserved": lambda: [CountVectorizer(lowercase=False)],
    "tokens of one character": lambda: [CountVectorizer(**PUNCTUATION, ngram_range=(1, 2))],
    "a fixed vocabulary": lambda: [
        CountVectorizer(vocabulary=["great", "bad", "no less", "a", "The", "one of the"], ngram_range=(1, 2))
    ],
    "counts, then tf-idf": lambda: [CountVectorizer(ngram_range=(1, 2)), TfidfTransformer(sublinear_tf=True)],
    "counts, then a norm": lambda: [CountVectorizer(ngram_range=(2, 2), min_df=2), Normalizer()],
    "tf-idf, then another norm": lambda: [
        CountVectorizer(),
        TfidfTransformer(norm="l2"),
        Normalizer("l1"),
        "passthrough",
    ],
    "characters": lambda: [CountVectorizer(analyzer="char", ngram_range=(1, 3))],
    "characters with tf-idf": lambda: [
        TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True)
    ],
    "characters, case preserved": lambda: [
        CountVectorizer(analyzer="char", lowercase=False, strip_accents="unicode", binary=True)
    ],
    "characters in words": lambda: [TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4))],
    "long n-grams of characters in short words": lambda: [
        CountVectorizer(analyzer="char_wb", ngram_range=(5, 6), binary=True),
        Normalizer(),
    ],
    "words and characters": lambda: [
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), strip_accents="ascii"),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), norm="l1"),
        )
    ],
    "the same words twice": lambda: [make_union(CountVectorizer(), TfidfVectorizer(ngram_range=(1, 2)))],
    "a weighted union of pipelines": lambda: [
        FeatureUnion(
            [
                ("words", make_pipeline(CountVectorizer(stop_words="english"), TfidfTransformer())),
                ("unused", "drop"),
                ("characters", CountVectorizer(analyzer="char", lowercase=False)),
            ],
            transformer_weights={"words": 2.5, "characters": 0.1},
        )
    ],
    "two vectorizers with the same tokens": lambda: [
        make_union(TfidfVectorizer(), CountVectorizer(ngram_range=(2, 2)))
    ],
    "hash values": lambda: [HashingVectorizer(n_features=2**10, ngram_range=(1, 2))],
    "hash values without signs, then tf-idf": lambda: [
        HashingVectorizer(n_features=50, alternate_sign=False, norm=None, stop_words="english"),
        TfidfTransformer(sublinear_tf=True),
    ],
    "hash values of presence, with their best features": lambda: [
        HashingVectorizer(n_features=64, binary=True, norm="l1"),
        SelectKBest(f_classif, k=40),
    ],
    "hash values of characters": lambda: [
        HashingVectorizer(n_features=2**12, analyzer="char", ngram_range=(2, 3)),
    ],
    "hash values of characters in words": lambda: [
        HashingVectorizer(n_features=2**12, analyzer="char_wb", ngram_range=(4, 5)),
    ],
    "hash values and words": lambda: [make_union(HashingVectorizer(n_features=100), CountVectorizer())],
    "the best features": lambda: [CountVectorizer(ngram_range=(1, 2)), SelectKBest(chi2, k=30)],
    "the best features, then tf-idf": lambda: [
        CountVectorizer(),
        SelectKBest(chi2, k=30),
        TfidfTransformer(),
    ],
    "tf-idf, then the best features": lambda: [TfidfVectorizer(), SelectPercentile(chi2, percentile=30)],
    "tf-idf, then the best features with another norm": lambda: [
        TfidfVectorizer(norm="l1"),
        SelectPercentile(chi2, percentile=30),
        Normalizer(),
    ],
    "columns by their largest value": lambda: [CountVectorizer(ngram_range=(1, 2)), MaxAbsScaler()],
    "columns by their deviation, then a norm": lambda: [
        CountVectorizer(min_df=2),
        StandardScaler(with_mean=False),
        Normalizer(),
    ],
    "the best features of a union": lambda: [
        make_union(TfidfVectorizer(), CountVectorizer(analyzer="char_wb", ngram_range=(2, 3))),
        SelectKBest(chi2, k=50),
        MaxAbsScaler(),
    ],
    "a pipeline in a pipeline": lambda: [make_pipeline(CountVectorizer(), TfidfTransformer(use_idf=False))],
}
CLASSIFIERS: dict[str, Callable[[], object]] = {
    "logistic regression": LogisticRegression,
    "logistic regression without intercept": lambda: LogisticRegression(fit_intercept=False, C=10),
    "SGD with log loss": lambda: SGDClassifier(loss="log_loss", random_state=1),
    "multinomial naive Bayes": MultinomialNB,
    "complement naive Bayes": lambda: ComplementNB(norm=True),
    "one-vs-rest logistic regression": lambda: OneVsRestClassifier(LogisticRegression()),
    "Bernoulli naive Bayes": BernoulliNB,
    "Bernoulli naive Bayes of features as they are": lambda: BernoulliNB(binarize=None, fit_prior=False),
    "SGD with modified Huber loss": lambda: SGDClassifier(loss="modified_huber", random_state=1),
    "support vectors with sigmoids": lambda: CalibratedClassifierCV(LinearSVC(random_state=1), cv=3),
    "support vectors with one sigmoid": lambda: CalibratedClassifierCV(LinearSVC(), cv=3, ensemble=False),
    "support vectors with isotonic lines": lambda: CalibratedClassifierCV(
        LinearSVC(random_state=1), cv=3, method="isotonic"
    ),
    "support vectors with a temperature": lambda: CalibratedClassifierCV(
        LinearSVC(), cv=3, method="temperature"
    ),
    "ridge with sigmoids": lambda: CalibratedClassifierCV(RidgeClassifier(), cv=2),
    "logistic regression with isotonic lines": lambda: CalibratedClassifierCV(
        LogisticRegression(), cv=2, method="isotonic"
    ),
    "Bernoulli naive Bayes with sigmoids": lambda: CalibratedClassifierCV(BernoulliNB(), cv=2),
    "one-vs-rest Bernoulli naive Bayes": lambda: OneVsRestClassifier(BernoulliNB()),
    "naive Bayes with sigmoids": lambda: CalibratedClassifierCV(MultinomialNB(), cv=2),
    "naive Bayes with one isotonic line": lambda: CalibratedClassifierCV(
        ComplementNB(), cv=2, method="isotonic", ensemble=False
    ),
}
WITHOUT_PROBABILITIES: dict[str, Callable[[], object]] = {
    "support vectors": LinearSVC,
    "support vectors of Crammer and Singer": lambda: LinearSVC(multi_class="crammer_singer"),
    "ridge": RidgeClassifier,
    "cross-validated ridge": RidgeClassifierCV,
    "SGD with hinge loss": lambda: SGDClassifier(random_state=1),
    "perceptron": lambda: Perceptron(random_state=1),
    "passive-aggressive": lambda: PassiveAggressiveClassifier(random_state=1),
    "one-vs-rest support vectors": lambda: OneVsRestClassifier(LinearSVC()),
}
"""Classifiers that only give scores."""


def options(**changes: object) -> ImportOptions:
    return replace(ImportOptions(name="imported"), **changes)  # type: ignore[arg-type]


def saved(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "model.joblib"
    joblib.dump(content, path)
    return path


def probabilities(classifier: Classifier, texts: list[str]) -> np.ndarray:
    return np.array([list(prediction.probabilities.values()) for prediction in classifier.predict(texts)])


def check_same(tmp_path: Path, pipeline: Pipeline, texts: list[str]) -> Classifier:
    """Import, write and load a model, and assert that its answers to real texts are the original's."""
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True))
    write_artifact(artifact, tmp_path / "artifact")
    classifier = load_classifier(tmp_path / "artifact")
    assert np.abs(probabilities(classifier, texts) - pipeline.predict_proba(texts)).max() <= 1e-6
    assert artifact.manifest.metrics["import_largest_difference"] <= 1e-6
    assert artifact.manifest.metrics["import_checked_texts"] >= 200
    return classifier


@CORPORA
@pytest.mark.parametrize("steps", VECTORIZERS.values(), ids=VECTORIZERS)
def test_every_supported_vectorizer_gives_the_originals_probabilities(tmp_path, steps, corpus):
    pipeline = make_pipeline(*steps(), LogisticRegression(C=5)).fit(*corpus)
    check_same(tmp_path, pipeline, corpus[0])


NASTY_PIECES = [
    *(
        "good",
        "a",
        "the café",
        "cafe\u0301",
        "Très",
        "GREAT",
        "İ",
        "ß",
        "ẞ",
        "ΑΣ",
        "ŉ",
        "ﬁ",
        "ﷺ",
        "한",
        "你好",
    ),
    *("😀", "\u200d", "\u0301", "½", "1", "_", "-", "'", "!", "<b>", "¬good", "\x00", "\ufeff", "\u200b"),
    *(" ", "  ", "\t", "\r\n", "\v", "\x1c", "\x1f", "\x85", "\u00a0", "\u2028", "\u3000"),
]
"""Parts of texts that cleaning or splitting could treat in another way than scikit-learn."""

NASTY_VECTORIZERS: dict[str, Callable[[], list[object]]] = {
    "words": lambda: [TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode")],
    "characters": lambda: [TfidfVectorizer(analyzer="char", ngram_range=(1, 4), strip_accents="ascii")],
    "characters in words": lambda: [
        CountVectorizer(analyzer="char_wb", ngram_range=(2, 5)),
        Normalizer("l1"),
    ],
    "everything": lambda: [
        make_union(
            HashingVectorizer(n_features=64, ngram_range=(1, 3)),
            HashingVectorizer(n_features=99, analyzer="char_wb", ngram_range=(3, 5), binary=True),
            CountVectorizer(analyzer="char", lowercase=False, binary=True),
            TfidfVectorizer(token_pattern="[^ ]+"),  # noqa: S106
        ),
        MaxAbsScaler(),
    ],
}


@pytest.fixture(scope="module", params=NASTY_VECTORIZERS.values(), ids=NASTY_VECTORIZERS)
def imported(request, tmp_path_factory):
    """An original with its imported model."""
    pipeline = make_pipeline(*request.param(), LogisticRegression(C=5)).fit(*TWO)
    artifact = import_model(saved(tmp_path_factory.mktemp("any"), pipeline), options(trust_pickle=True))
    return pipeline, Classifier(artifact)


@given(pieces=st.lists(st.sampled_from(NASTY_PIECES) | st.text(max_size=3), max_size=30))
@settings(max_examples=50, deadline=None)
def test_any_text_gets_the_originals_probabilities(imported, pieces):
    pipeline, classifier = imported
    texts = ["".join(pieces), " ".join(pieces)]
    assert np.abs(classifier.probabilities(texts) - pipeline.predict_proba(texts)).max() <= 1e-6


@CORPORA
@pytest.mark.parametrize("vectorizer", ["counts", "bigrams of words that are not features"])
@pytest.mark.parametrize("build", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_every_supported_classifier_gives_the_originals_probabilities(tmp_path, build, vectorizer, corpus):
    pipeline = make_pipeline(*VECTORIZERS[vectorizer](), build()).fit(*corpus)
    check_same(tmp_path, pipeline, corpus[0])


def test_cross_validated_logistic_regression_is_supported(tmp_path):
    classifier = LogisticRegressionCV(
        Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False, scoring="accuracy"
    )
    check_same(tmp_path, make_pipeline(CountVectorizer(), classifier).fit(*THREE), THREE[0])


def test_sparse_weights_are_supported(tmp_path):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*TWO)
    pipeline[-1].sparsify()
    check_same(tmp_path, pipeline, TWO[0])


def test_a_package_of_vectorizer_and_classifier_keeps_its_threshold_and_answers(tmp_path):
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), stop_words="english")
    model = LogisticRegression().fit(vectorizer.fit_transform(TWO[0]), [1] * 20 + [0] * 20)
    package = {
        "model": model,
        "vectorizer": vectorizer,
        "threshold": 0.62,
        "max_tokens": 200,
        "model_type": "logreg",
        "vocab_size": 20000,
        "trained_by": "x",
    }
    chosen = options(trust_pickle=True, labels=("negative", "positive"))
    artifact = import_model(saved(tmp_path, package), chosen, TWO[0])
    assert artifact.manifest.threshold == 0.62
    assert artifact.manifest.labels == ("negative", "positive")
    assert "max_tokens 200 is not used" in artifact.model_card
    assert "Not used from the package: trained_by." in artifact.model_card
    expected = model.predict_proba(vectorizer.transform(TWO[0]))
    assert np.abs(probabilities(Classifier(artifact), TWO[0]) - expected).max() <= 1e-6


@pytest.mark.parametrize(("texts", "has_reference"), [(0, False), (49, False), (50, True)])
def test_real_texts_give_a_reference_for_drift_if_there_are_enough(tmp_path, texts, has_reference):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*TWO)
    given = (TWO[0] * 2)[:texts]
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True), given)
    reference = artifact.manifest.reference
    assert (reference is not None) == has_reference
    if reference is not None:
        predicted = pipeline.predict(given).tolist()
        assert reference.label.counts == (*(predicted.count(label) for label in sorted(set(TWO[1]))), 0)


def test_a_vectorizer_in_a_file_of_its_own_is_read(tmp_path):
    vectorizer = TfidfVectorizer().fit(TWO[0])
    classifier = LogisticRegression().fit(vectorizer.transform(TWO[0]), TWO[1])
    joblib.dump(vectorizer, tmp_path / "vectorizer.joblib")
    chosen = options(trust_pickle=True, vectorizer=tmp_path / "vectorizer.joblib")
    artifact = import_model(saved(tmp_path, classifier), chosen)
    expected = classifier.predict_proba(vectorizer.transform(TWO[0]))
    assert np.abs(probabilities(Classifier(artifact), TWO[0]) - expected).max() <= 1e-6


def test_a_second_vectorizer_is_refused(tmp_path):
    vectorizer = CountVectorizer().fit(TWO[0])
    classifier = MultinomialNB().fit(vectorizer.transform(TWO[0]), TWO[1])
    skops_io.dump(vectorizer, tmp_path / "vectorizer.skops")
    package = saved(tmp_path, {"model": classifier, "vectorizer": vectorizer})
    with pytest.raises(UnsupportedModel, match="the file of the model has a vectorizer or tokenizer already"):
        import_model(package, options(trust_pickle=True, vectorizer=tmp_path / "vectorizer.skops"))


def test_a_classifier_without_its_vectorizer_is_refused_with_what_to_do(tmp_path):
    classifier = LogisticRegression().fit([[0.0], [1.0]], ["good", "poor"])
    with pytest.raises(UnsupportedModel, match=r"is LogisticRegression, the only step; .* with --vectorizer"):
        import_model(saved(tmp_path, classifier), options(trust_pickle=True))


def test_a_plain_pickle_with_any_name_is_read(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(pickle.dumps(make_pipeline(CountVectorizer(), MultinomialNB()).fit(*TWO)))
    assert import_model(path, options(trust_pickle=True)).manifest.labels == ("good", "poor")


def test_a_skops_file_needs_no_trust(tmp_path):
    pipeline = make_pipeline(TfidfVectorizer(stop_words="english"), LogisticRegression()).fit(*THREE)
    skops_io.dump(pipeline, tmp_path / "model.skops")
    artifact = import_model(tmp_path / "model.skops", options())
    assert (
        np.abs(probabilities(Classifier(artifact), THREE[0]) - pipeline.predict_proba(THREE[0])).max() <= 1e-6
    )


def test_a_skops_file_with_an_unknown_type_is_refused_with_the_types_name(tmp_path):
    pipeline = make_pipeline(FunctionTransformer(str.lower), CountVectorizer(), MultinomialNB())
    skops_io.dump(pipeline, tmp_path / "model.skops")
    message = r"does not trust, .*: builtins\.method_descriptor\. .*--trust-pickle"
    with pytest.raises(UnsupportedModel, match=message):
        import_model(tmp_path / "model.skops", options())


class _MakesAFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_not_run_without_trust(tmp_path, protocol):
    made, path = tmp_path / "made", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(_MakesAFile(made), protocol))
    with pytest.raises(UnsupportedModel, match=r"model\.pkl is a pickle.*--trust-pickle"):
        import_model(path, options())
    assert not made.exists()


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_a_compressed_joblib_file_is_treated_as_a_pickle(tmp_path, compress):
    made, path = tmp_path / "made", tmp_path / "model"
    joblib.dump({"model": _MakesAFile(made)}, path, compress=compress)
    with pytest.raises(UnsupportedModel, match="--trust-pickle"):
        import_model(path, options())
    assert not made.exists()


def test_a_file_without_a_model_is_refused_with_a_list_of_what_is_supported(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UnsupportedModel, match=r"notes\.txt begins with b'hello'.*a scikit-learn Pipeline"):
        source_kind(tmp_path / "notes.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"missing\.pkl cannot be read: No such file"):
        import_model(tmp_path / "missing.pkl", options())


def _tokens(text: str) -> list[str]:
    return text.split()


REFUSED: dict[str, tuple[Callable[[], list[tuple[str, object]]], str]] = {
    "an analyzer": (lambda: [("v", CountVectorizer(analyzer=_tokens))], "'v'.*analyzer=<function _tokens"),
    "a tokenizer": (
        lambda: [("v", CountVectorizer(tokenizer=_tokens, token_pattern=None))],
        "'v'.*its own tokenizer",
    ),
    "a preprocessor": (
        lambda: [("v", CountVectorizer(preprocessor=str.upper))],
        "'v'.*its own preprocessor",
    ),
    "an accent stripper": (
        lambda: [("v", CountVectorizer(strip_accents=str.upper))],
        "'v'.*strip_accents=<method",
    ),
    "a group in the pattern": (
        lambda: [("v", CountVectorizer(**{"token_pattern": r"(\w+)!?"}))],
        "'v'.*token_pattern .* has a capturing group",
    ),
    "a pattern of exponential time": (
        lambda: [("v", CountVectorizer(**{"token_pattern": r"\w+(?:(?:~+)+!)?"}))],
        "'v'.*token_pattern .* has an unbounded repeat before",
    ),
    "tokens with spaces": (
        lambda: [("v", CountVectorizer(**{"token_pattern": r"[a-z ]+"}, ngram_range=(1, 2)))],
        "'v'.*tokens with spaces",
    ),
    "counts as bytes": (lambda: [("v", CountVectorizer(dtype=np.uint8))], "'v'.*counts in uint8"),
    "a function as the first step": (
        lambda: [("lower", FunctionTransformer(_same)), ("v", CountVectorizer())],
        "'lower' is FunctionTransformer",
    ),
    "a decomposition": (
        lambda: [("v", CountVectorizer()), ("svd", TruncatedSVD(2)), ("abs", FunctionTransformer(np.abs))],
        r"'svd' is TruncatedSVD\(",
    ),
    "a norm after a union": (
        lambda: [("both", make_union(CountVectorizer(), TfidfVectorizer())), ("norm", Normalizer())],
        r"'norm' is Normalizer\(\), which cannot be converted after several vectorizers",
    ),
    "a union with something else": (
        lambda: [("both", make_union(CountVectorizer(), FunctionTransformer(_lengths)))],
        r"'both\.functiontransformer' is FunctionTransformer",
    ),
    "tf-idf twice": (
        lambda: [("v", TfidfVectorizer()), ("again", TfidfTransformer())],
        "'again' is TfidfTransformer",
    ),
    "tf-idf after a norm": (
        lambda: [("v", CountVectorizer()), ("norm", Normalizer()), ("late", TfidfTransformer())],
        "'late' is TfidfTransformer",
    ),
    "the maximum as norm": (
        lambda: [("v", CountVectorizer()), ("norm", Normalizer("max"))],
        r"'norm' is Normalizer\(norm='max'\)",
    ),
}


def _lengths(texts: list[str]) -> np.ndarray:
    return np.array([[len(text)] for text in texts])


def _same(texts: list[str]) -> list[str]:
    return texts


@pytest.mark.parametrize(("steps", "message"), REFUSED.values(), ids=REFUSED)
def test_a_step_that_cannot_be_converted_is_named(tmp_path, steps, message):
    pipeline = Pipeline([*steps(), ("nb", MultinomialNB())]).fit(*TWO)
    with pytest.raises(UnsupportedModel, match=message):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (RandomForestClassifier(2), "'last' is RandomForestClassifier"),
        (OneVsRestClassifier(RandomForestClassifier(2)), r"'last\.estimator' is RandomForestClassifier"),
        (CalibratedClassifierCV(RandomForestClassifier(2), cv=2), r"'last\.estimator' is RandomForest"),
        (
            OneVsRestClassifier(CalibratedClassifierCV(LinearSVC(), cv=2)),
            "'last' is a OneVsRestClassifier of",
        ),
        (
            CalibratedClassifierCV(MultinomialNB(), cv=2, method="temperature"),
            "'last' has method='temperature' and MultinomialNB, whose answers depend on rounding",
        ),
    ],
    ids=[
        "trees",
        "one-vs-rest trees",
        "calibrated trees",
        "one-vs-rest calibrated support vectors",
        "naive Bayes with temperatures",
    ],
)
def test_a_classifier_that_cannot_be_converted_is_named_with_those_that_can(tmp_path, classifier, message):
    pipeline = Pipeline([("v", CountVectorizer()), ("last", classifier)]).fit(*TWO)
    with pytest.raises(
        UnsupportedModel, match=message + r".*Supported are LogisticRegression.*MultinomialNB"
    ):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: make_pipeline(
                CountVectorizer(analyzer="char", ngram_range=(1, 10)), LogisticRegression()
            ),
            r"step 'countvectorizer' \(CountVectorizer\) has n-grams of 10 tokens, .*; at most 9",
        ),
        (
            lambda: make_pipeline(
                FeatureUnion([(str(n), CountVectorizer(max_features=2)) for n in range(40)]),
                LogisticRegression(),
            ),
            "the model has 80 arrays of weights, .*; at most 64 are allowed, so use fewer vectorizers",
        ),
        (
            lambda: make_pipeline(
                FeatureUnion([(str(n), CountVectorizer(max_features=2)) for n in range(120)]),
                LogisticRegression(),
            ),
            "the model cannot be imported: parts: .* at most 100",
        ),
        (
            lambda: make_pipeline(
                make_union(*(HashingVectorizer(n_features=9, ngram_range=(1, 7)) for _ in range(3))),
                LogisticRegression(),
            ),
            "the parts hash n-grams of 21 lengths; at most 18 are allowed",
        ),
        (
            lambda: OneVsRestClassifier(make_pipeline(TfidfVectorizer(), LinearSVC())),
            r"'model' is OneVsRestClassifier of Pipeline, .*; train it as Pipeline\(\[vectorizer, OneVs",
        ),
    ],
    ids=["long n-grams", "many arrays", "many vectorizers", "many hash values", "a vectorizer inside"],
)
def test_a_model_beyond_a_bound_is_refused_with_the_bound(tmp_path, model, message):
    with pytest.raises(UnsupportedModel, match=message):
        import_model(saved(tmp_path, model().fit(*TWO)), options(trust_pickle=True))


def test_more_hash_values_than_allowed_are_refused(tmp_path):
    vectorizer = HashingVectorizer(n_features=2**5, alternate_sign=False, norm=None)
    pipeline = make_pipeline(vectorizer, MultinomialNB()).fit(*TWO)
    vectorizer.n_features = 2**25
    with pytest.raises(UnsupportedModel, match="features: Input should be less than or equal to 16777216"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


def test_weights_that_no_service_would_load_are_refused_with_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr("training_import.conversion.from_sklearn.MAX_NUMBERS", 1000)
    pipeline = make_pipeline(HashingVectorizer(n_features=1000), LogisticRegression()).fit(*TWO)
    with pytest.raises(UnsupportedModel, match="the model has 1,001 weights; at most 1,000 are allowed"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*TWO)
    pipeline[-1].coef_[0, 0] = np.nan
    with pytest.raises(UnsupportedModel, match="the model has a weight that is not a finite number"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


def test_a_file_of_nothing_is_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="the file has no model"):
        import_model(saved(tmp_path, None), options(trust_pickle=True))


@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_tokens_that_no_file_can_hold_are_imported_but_not_written_into_texts(tmp_path, analyzer):
    texts = [f"{text} \ud800" for text in GOOD] + BAD
    vectorizer = CountVectorizer(analyzer=analyzer, **ANY_TOKENS)
    check_same(tmp_path, make_pipeline(vectorizer, LogisticRegression()).fit(texts, TWO[1]), texts)


def test_a_name_of_a_class_that_no_file_can_hold_is_refused(tmp_path):
    labels = np.array(["good\ud800"] * 20 + ["poor"] * 20)
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(TWO[0], labels)
    with pytest.raises(UnsupportedModel, match=r"the name 'good\\ud800', which no file can hold"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


def test_bernoulli_naive_bayes_of_more_than_one_occurrence_is_refused(tmp_path):
    pipeline = make_pipeline(CountVectorizer(), BernoulliNB(binarize=2)).fit(*TWO)
    with pytest.raises(UnsupportedModel, match="'bernoullinb' has binarize=2, which does not only tell"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


@CORPORA
@pytest.mark.parametrize("build", WITHOUT_PROBABILITIES.values(), ids=WITHOUT_PROBABILITIES)
def test_a_classifier_without_probabilities_is_calibrated_and_keeps_its_labels(tmp_path, build, corpus):
    texts, labels = corpus
    pipeline = make_pipeline(TfidfVectorizer(), build()).fit(texts, labels)
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True), texts * 2, labels * 2)
    predictions = Classifier(artifact).predict(texts)
    assert [prediction.label for prediction in predictions] == pipeline.predict(texts).tolist()
    assert artifact.manifest.calibration.method == "temperature"
    assert artifact.manifest.metrics["import_largest_difference"] <= 1e-6
    assert f"They were calibrated on {2 * len(texts)} labelled texts" in artifact.model_card
    assert "did not calibrate" not in artifact.model_card


def test_labelled_texts_can_have_the_numbers_of_classes_that_labels_names(tmp_path):
    texts, numbers = TWO[0] * 2, [int(label == "poor") for label in TWO[1]] * 2
    pipeline = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, numbers)
    chosen = options(trust_pickle=True, labels=("good", "poor"))
    artifact = import_model(saved(tmp_path, pipeline), chosen, texts, list(map(str, numbers)))
    predicted = [prediction.label for prediction in Classifier(artifact).predict(texts)]
    assert predicted == [("good", "poor")[number] for number in pipeline.predict(texts)]


def test_labels_that_can_be_names_or_numbers_of_other_classes_are_names(tmp_path):
    texts, numbers = TWO[0] * 2, [int(label == "poor") for label in TWO[1]] * 2
    pipeline = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, numbers)
    chosen = options(trust_pickle=True, labels=("1", "2"))
    with pytest.raises(
        UnsupportedModel, match="have the label '0'; the model's labels are '1', '2', and the"
    ):
        import_model(saved(tmp_path, pipeline), chosen, texts, list(map(str, numbers)))


def test_the_calibrated_scores_are_those_of_the_original(tmp_path):
    texts, labels = THREE
    pipeline = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, labels)
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True), texts, labels)
    odds = np.exp(artifact.manifest.calibration.scale * pipeline.decision_function(texts))
    expected = odds / odds.sum(axis=1, keepdims=True)
    assert np.abs(probabilities(Classifier(artifact), texts) - expected).max() <= 1e-6


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (
            TWO[0],
            [],
            "gives scores but no probabilities; give labelled texts .* with --data and --label-column",
        ),
        (TWO[0], ["good"] * 20 + ["bad"] * 20, "have the label 'bad'; the model's labels are 'good', 'poor'"),
        (TWO[0], ["good"] * 40, "no labelled text has the label 'poor'"),
        (*TWO, "there are 40 labelled texts; calibration needs at least 50"),
    ],
    ids=["no labels", "another label", "a class without texts", "too few"],
)
def test_a_model_without_probabilities_needs_fitting_labelled_texts(tmp_path, texts, labels, message):
    pipeline = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(*TWO)
    with pytest.raises(UnsupportedModel, match=message):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True), texts, labels)


def test_columns_of_a_table_are_read_if_all_are_the_column_of_the_texts(tmp_path):
    transformer = ColumnTransformer(
        [("words", TfidfVectorizer(), "text"), ("characters", CountVectorizer(analyzer="char"), "text")],
        transformer_weights={"characters": 0.2},
    )
    table = pd.DataFrame({"id": range(60), "text": THREE[0]})
    pipeline = make_pipeline(transformer, LogisticRegression()).fit(table, THREE[1])
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True), THREE[0])
    assert np.abs(probabilities(Classifier(artifact), THREE[0]) - pipeline.predict_proba(table)).max() <= 1e-6


@pytest.mark.parametrize("columns", [["title", "text"], ["text", ["title"]]])
def test_a_model_of_several_columns_is_refused_with_their_names(tmp_path, columns):
    vectorizers = [
        (str(n), CountVectorizer(), column if isinstance(column, str) else "title")
        for n, column in enumerate(columns)
    ]
    table = pd.DataFrame({"title": TWO[0], "text": TWO[0]})
    pipeline = make_pipeline(ColumnTransformer(vectorizers), LogisticRegression()).fit(table, TWO[1])
    with pytest.raises(UnsupportedModel, match=r"reads the columns .t.*; a text classifier reads a"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


def test_a_calibrated_classifier_with_the_names_of_an_older_release_is_repaired(tmp_path):
    pipeline = make_pipeline(TfidfVectorizer(), CalibratedClassifierCV(LinearSVC(), cv=2)).fit(*TWO)
    expected = pipeline.predict_proba(TWO[0])
    classifier = pipeline[-1]
    for part in (classifier, *classifier.calibrated_classifiers_):
        part.base_estimator = vars(part).pop("estimator")
    for part in classifier.calibrated_classifiers_:
        part.calibrators_ = vars(part).pop("calibrators")
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True))
    assert np.abs(probabilities(Classifier(artifact), TWO[0]) - expected).max() <= 1e-6


@pytest.mark.parametrize("inner", [[], [TfidfTransformer()]], ids=["alone", "in a pipeline"])
def test_a_table_in_a_union_is_refused_by_name(tmp_path, inner):
    column = make_pipeline(ColumnTransformer([("words", CountVectorizer(), "text")]), *inner)
    pipeline = make_pipeline(make_union(column), LogisticRegression())
    pipeline.fit(pd.DataFrame({"text": TWO[0]}), TWO[1])
    with pytest.raises(UnsupportedModel, match="reads a table, which only the first step of all can do"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


def test_an_original_that_cannot_score_the_texts_is_refused_with_its_error(tmp_path):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*TWO)
    pipeline[1].n_features_in_ = 3
    with pytest.raises(UnsupportedModel, match=r"the original cannot score the texts: .* 3 features"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


def test_a_frozen_classifier_that_was_calibrated_is_opened(tmp_path):
    vectorizer = TfidfVectorizer().fit(TWO[0])
    features = vectorizer.transform(TWO[0])
    classifier = CalibratedClassifierCV(FrozenEstimator(LinearSVC().fit(features, TWO[1]))).fit(
        features, TWO[1]
    )
    check_same(tmp_path, make_pipeline(vectorizer, classifier), TWO[0])


@CORPORA
@pytest.mark.parametrize("ensemble", [True, False])
def test_calibrated_pipelines_are_imported_with_their_own_vectorizers(tmp_path, corpus, ensemble):
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LinearSVC(random_state=1))
    classifier = CalibratedClassifierCV(pipeline, cv=2, ensemble=ensemble).fit(*corpus)
    check_same(tmp_path, classifier, corpus[0])


@pytest.mark.parametrize("method", ["sigmoid", "temperature"])
def test_one_calibrated_linear_model_has_exact_explanations(tmp_path, method):
    classifier = CalibratedClassifierCV(LinearSVC(), cv=2, method=method, ensemble=False)
    pipeline = make_pipeline(TfidfVectorizer(), classifier).fit(*TWO)
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True))
    assert artifact.manifest.model.kind == "linear"


def test_several_calibrated_models_are_explained_by_leaving_words_out(tmp_path):
    pipeline = make_pipeline(TfidfVectorizer(), CalibratedClassifierCV(LinearSVC(), cv=2)).fit(*TWO)
    classifier = Classifier(import_model(saved(tmp_path, pipeline), options(trust_pickle=True)))
    explanation = explain_text(classifier, "a wonderful film", "good")
    assert explanation.method == Method.OCCLUSION
    assert explanation.contributions[0].text == "wonderful"


@pytest.mark.parametrize(
    "second",
    [
        CountVectorizer(analyzer="char_wb", ngram_range=(2, 3)),
        HashingVectorizer(n_features=30, ngram_range=(1, 2)),
        HashingVectorizer(n_features=99, analyzer="char_wb", ngram_range=(5, 6)),
    ],
    ids=["characters", "hash values", "hash values of characters"],
)
def test_several_kinds_of_tokens_have_exact_explanations(tmp_path, second):
    union = make_union(TfidfVectorizer(), second)
    pipeline = make_pipeline(union, LogisticRegression()).fit(*TWO)
    classifier = Classifier(import_model(saved(tmp_path, pipeline), options(trust_pickle=True)))
    explanation = explain_text(classifier, "What a  wonderful\tfilm!", "good")
    odds = pipeline.predict_proba(["What a  wonderful\tfilm!"])[0, 0]
    total = explanation.bias + sum(one.value for one in explanation.contributions)
    assert total == pytest.approx(np.log(odds / (1 - odds)))


@pytest.mark.parametrize("first", [DictVectorizer(), FunctionTransformer()])
def test_a_step_that_reads_something_else_than_a_text_is_refused_by_name(tmp_path, first):
    pipeline = Pipeline([("features", first), ("nb", MultinomialNB())])
    with pytest.raises(UnsupportedModel, match=f"'features' is {type(first).__name__}"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


@pytest.mark.parametrize(
    ("setting", "solver", "corpus"),
    [("ovr", "lbfgs", THREE), ("auto", "liblinear", THREE), ("multinomial", "lbfgs", TWO)],
)
def test_a_logistic_regression_whose_answers_an_older_scikit_learn_computed_differently_is_refused(
    tmp_path, setting, solver, corpus
):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*corpus)
    pipeline[-1].multi_class, pipeline[-1].solver = setting, solver
    with pytest.raises(UnsupportedModel, match=f"multi_class='{setting}'.*from an older scikit-learn"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


def test_a_model_that_was_never_fitted_is_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="was it fitted"):
        import_model(
            saved(tmp_path, make_pipeline(CountVectorizer(), MultinomialNB())), options(trust_pickle=True)
        )


def test_a_vectorizer_of_another_model_is_refused(tmp_path):
    package = {
        "model": MultinomialNB().fit(CountVectorizer().fit_transform(TWO[0]), TWO[1]),
        "vectorizer": CountVectorizer(max_features=10).fit(TWO[0]),
    }
    with pytest.raises(UnsupportedModel, match=r"makes 10 features.*do not belong together"):
        import_model(saved(tmp_path, package), options(trust_pickle=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.5}, "threshold is 1.5; it must be from 0 to 1"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": "half"}, "threshold is 'half'"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"tokenizer": "x"}, "a 'tokenizer' and a 'vectorizer'"),
        ({"model": None}, "it needs 'model', and 'tokenizer' or 'vectorizer' unless the model is a pipeline"),
    ],
)
def test_a_package_with_a_bad_value_is_refused(tmp_path, change, message):
    vectorizer = CountVectorizer()
    model = MultinomialNB().fit(vectorizer.fit_transform(TWO[0]), TWO[1])
    package = {"model": model, "vectorizer": vectorizer} | change
    with pytest.raises(UnsupportedModel, match=message):
        import_model(saved(tmp_path, package), options(trust_pickle=True))


def test_given_labels_name_the_classes_in_order(tmp_path):
    path = saved(
        tmp_path,
        make_pipeline(CountVectorizer(), MultinomialNB()).fit(THREE[0], [0] * 20 + [1] * 20 + [2] * 20),
    )
    assert import_model(path, options(trust_pickle=True)).manifest.labels == ("0", "1", "2")
    named = import_model(path, options(trust_pickle=True, labels=("good", "poor", "so-so")))
    assert named.manifest.labels == ("good", "poor", "so-so")
    with pytest.raises(UnsupportedModel, match="labels are a, b; the model has 3 classes"):
        import_model(path, options(trust_pickle=True, labels=("a", "b")))


def test_cleaning_before_the_vectorizer_is_preserved(tmp_path):
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression()).fit(*TWO)
    chosen = options(
        trust_pickle=True, strip_html=True, remove_special_chars=True, stopwords=("the", "a", "of")
    )
    classifier = Classifier(import_model(saved(tmp_path, pipeline), chosen, TWO[0]))
    cleaned = probabilities(classifier, ["<b>best</b> 10 movie of the year: http://best.example/"])
    assert np.abs(cleaned - pipeline.predict_proba(["best movie year"])).max() <= 1e-6


def test_an_option_that_would_have_no_effect_is_refused(tmp_path):
    path = saved(tmp_path, make_pipeline(CountVectorizer(), MultinomialNB()).fit(*TWO))
    with pytest.raises(UnsupportedModel, match="word index goes with a Keras file only; this is a pickle"):
        import_model(path, options(trust_pickle=True, word_index=tmp_path / "index.json"))


def test_a_conversion_with_other_answers_is_refused_with_its_worst_text(tmp_path):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*TWO)
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True))
    arrays = unpack_arrays(artifact.weights)
    arrays["weights"][artifact.vocabulary.index("masterpiece")] += 0.01
    wrong = replace(artifact, weights=pack_arrays(arrays))
    texts = check_texts(["a film", "what a masterpiece!"], ["film"], 10)
    with pytest.raises(UnsupportedModel, match=r"1e-06 is allowed: for the text 'what a masterpiece!'"):
        compare(wrong, pipeline.predict_proba(texts), texts, 1e-6)


def test_an_original_whose_answer_is_not_a_number_is_refused(tmp_path):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*TWO)
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True))
    with pytest.raises(UnsupportedModel, match="differs from the original by inf"):
        compare(artifact, np.full((1, 2), np.nan), ["a"], 1e-6)


def test_at_least_200_texts_are_checked_beginning_with_the_real_ones():
    assert len(check_texts([], ["word"], 10)) >= 200
    assert check_texts(["real"], ["word"], 10)[0] == "real"
    assert len(check_texts(["real"] * 500, ["word"], 10)) > 500


def test_an_imported_artifact_has_golden_cases_and_a_model_card(tmp_path):
    path = saved(tmp_path, make_pipeline(CountVectorizer(), MultinomialNB()).fit(*TWO))
    artifact = import_model(path, options(trust_pickle=True), TWO[0])
    assert len(artifact.golden) >= 24
    assert "Imported from model.joblib (SHA-256" in artifact.model_card
    assert "40 of them real" in artifact.model_card
    assert "scikit-learn" in artifact.manifest.versions
