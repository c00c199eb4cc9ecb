"""Importing scikit-learn models: an imported model answers as before, and others are refused by name."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
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
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, Normalizer
from sklearn.svm import LinearSVC
from skops import io as skops_io

from classifier.artifact import write_artifact
from classifier.pipeline import Classifier, load_classifier
from classifier.runtimes.linear import pack_arrays, unpack_arrays
from training_import.conversion.converted import ImportOptions, UnsupportedModel
from training_import.conversion.foreign_files import source_kind
from training_import.conversion.import_model import check_texts, import_model, largest_difference

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
    "a pipeline in a pipeline": lambda: [make_pipeline(CountVectorizer(), TfidfTransformer(use_idf=False))],
}
CLASSIFIERS: dict[str, Callable[[], object]] = {
    "logistic regression": LogisticRegression,
    "logistic regression without intercept": lambda: LogisticRegression(fit_intercept=False, C=10),
    "SGD with log loss": lambda: SGDClassifier(loss="log_loss", random_state=1),
    "multinomial naive Bayes": MultinomialNB,
    "complement naive Bayes": lambda: ComplementNB(norm=True),
    "one-vs-rest logistic regression": lambda: OneVsRestClassifier(LogisticRegression()),
}


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
    artifact = import_model(saved(tmp_path, package), options(trust_pickle=True), TWO[0])
    assert artifact.manifest.threshold == 0.62
    assert artifact.manifest.labels == ("negative", "positive")
    assert "max_tokens 200 is not used" in artifact.model_card
    assert "Not read from the package: trained_by" in artifact.model_card
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
    with pytest.raises(UnsupportedModel, match=r"does not trust: builtins\.method_descriptor"):
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
    "characters": (lambda: [("chars", CountVectorizer(analyzer="char"))], r"'chars'.*analyzer='char'"),
    "characters in words": (lambda: [("v", TfidfVectorizer(analyzer="char_wb"))], r"'v'.*analyzer='char_wb'"),
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
    "hashing": (
        lambda: [("hash", HashingVectorizer(alternate_sign=False))],
        "'hash' is HashingVectorizer.*Supported are",
    ),
    "a union": (
        lambda: [("both", FeatureUnion([("a", CountVectorizer()), ("b", TfidfVectorizer())]))],
        "'both' is FeatureUnion",
    ),
    "a function as the first step": (
        lambda: [("lower", FunctionTransformer(_same)), ("v", CountVectorizer())],
        "'lower' is FunctionTransformer",
    ),
    "a decomposition": (
        lambda: [("v", CountVectorizer()), ("svd", TruncatedSVD(2)), ("abs", FunctionTransformer(np.abs))],
        r"'svd' is TruncatedSVD\(",
    ),
    "a scaler": (lambda: [("v", CountVectorizer()), ("scale", MaxAbsScaler())], "'scale' is MaxAbsScaler"),
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
        (LinearSVC(), "'last' is LinearSVC"),
        (RidgeClassifier(), "'last' is RidgeClassifier"),
        (SGDClassifier(), r"'last' is SGDClassifier\(loss='hinge'\)"),
        (SGDClassifier(loss="modified_huber"), r"'last' is SGDClassifier\(loss='modified_huber'\)"),
        (CalibratedClassifierCV(LinearSVC(), cv=2), "'last' is CalibratedClassifierCV"),
        (RandomForestClassifier(2), "'last' is RandomForestClassifier"),
        (OneVsRestClassifier(LinearSVC()), r"'last\.estimator' is LinearSVC"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_classifier_that_cannot_be_converted_is_named_with_those_that_can(tmp_path, classifier, message):
    pipeline = Pipeline([("v", CountVectorizer()), ("last", classifier)]).fit(*TWO)
    with pytest.raises(UnsupportedModel, match=message + r".*Supported are CountVectorizer.*MultinomialNB"):
        import_model(saved(tmp_path, pipeline), options(trust_pickle=True))


@pytest.mark.parametrize("first", [DictVectorizer(), ColumnTransformer([("text", CountVectorizer(), 0)])])
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
        ({"model": None}, "it needs 'model'"),
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
    with pytest.raises(UnsupportedModel, match=r"word index goes with a \.keras file only; this is a pickle"):
        import_model(path, options(trust_pickle=True, word_index=tmp_path / "index.json"))


def test_a_conversion_with_other_answers_is_refused_with_its_worst_text(tmp_path):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*TWO)
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True))
    arrays = unpack_arrays(artifact.weights)
    arrays["weights"][artifact.vocabulary.index("masterpiece")] += 0.01
    wrong = replace(artifact, weights=pack_arrays(arrays))
    texts = check_texts(["a film", "what a masterpiece!"], ["film"], 10)
    with pytest.raises(UnsupportedModel, match=r"1e-06 is allowed: for the text 'what a masterpiece!'"):
        largest_difference(wrong, pipeline.predict_proba, texts, 1e-6)


def test_an_original_whose_answer_is_not_a_number_is_refused(tmp_path):
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*TWO)
    artifact = import_model(saved(tmp_path, pipeline), options(trust_pickle=True))
    with pytest.raises(UnsupportedModel, match="differs from the original by inf"):
        largest_difference(artifact, lambda texts: np.full((len(texts), 2), np.nan), ["a"], 1e-6)


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
