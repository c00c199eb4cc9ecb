"""Convert a scikit-learn pipeline of word n-grams and a linear classifier."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer

from classifier.artifact import Calibration
from classifier.runtimes.linear import LinearSettings, pack_arrays
from classifier.text import TextSettings
from classifier.validation import first_error
from training_import.conversion.converted import (
    Converted,
    ImportOptions,
    Package,
    UnsupportedModel,
    class_labels,
    cleaning_before,
    cleaning_note,
)
from training_import.ngrams import ngram_tree
from training_import.versions import library_versions

TOLERANCE = 1e-6

MAX_TOKENS = 10_000
"""scikit-learn reads the whole text. The service accepts no text of more characters than this."""

SUPPORTED = (
    "CountVectorizer or TfidfVectorizer with analyzer='word' and no callables; after CountVectorizer also "
    "TfidfTransformer; then Normalizer with 'l1' or 'l2'; then LogisticRegression, LogisticRegressionCV, "
    "SGDClassifier(loss='log_loss'), MultinomialNB, ComplementNB, or OneVsRestClassifier of one of these"
)

_Step = tuple[str, Any]
_Norm = Literal["l1", "l2"] | None


@dataclass(frozen=True)
class _Weighting:
    """How the counts of n-grams become features."""

    term_frequency: Literal["binary", "count", "log"]
    idf: NDArray[np.float64] | None
    """The inverse document frequency of each feature (features); None if it is not used."""
    norm: _Norm


@dataclass(frozen=True)
class _Linear:
    """The weights (features, columns) and intercept (columns) of a classifier; one column for two classes."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    activation: Literal["softmax", "one-vs-rest"]


def convert_sklearn(package: Package, options: ImportOptions) -> Converted:
    """Convert a fitted Pipeline, or the vectorizer and classifier of a package.

    Raises UnsupportedModel, which names the step that cannot be converted, and says what can.
    """
    steps = _steps(package)
    try:
        return _convert(steps, package, options)
    except AttributeError as error:
        # A model of another version of scikit-learn may lack attributes; a model that was not fitted does.
        raise UnsupportedModel(
            f"the scikit-learn model lacks an attribute: {error}; was it fitted, and saved by the installed "
            "version of scikit-learn?"
        ) from error


def _convert(steps: Sequence[_Step], package: Package, options: ImportOptions) -> Converted:
    (_, vectorizer), (classifier_name, classifier) = steps[0], steps[-1]
    text = _text_settings(steps[0], options)
    weighting = _weighting(steps)
    linear = _linear(classifier_name, classifier)
    labels = class_labels(options, len(classifier.classes_), _own_labels(classifier.classes_))

    terms = list(map(str, sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)))
    if len(terms) != len(linear.weights):
        raise UnsupportedModel(
            f"step {steps[0][0]!r} makes {len(terms)} features, but step {classifier_name!r} was trained on "
            f"{len(linear.weights)}; they do not belong together"
        )
    ngrams = _ngrams(steps[0], terms)
    # A vocabulary given by hand may have n-grams of a length that no text is searched for.
    columns = np.array(sorted(ngrams), np.intp)
    tree = ngram_tree([ngrams[column] for column in columns])
    weights = np.zeros((tree.node_count, linear.weights.shape[1]))
    weights[tree.nodes] = linear.weights[columns]
    arrays = {**tree.arrays, "weights": weights, "intercept": linear.intercept}
    if weighting.idf is not None or (weighting.norm is not None and not tree.is_feature.all()):
        # The norm includes every node whose scale is not 0, so a mere beginning of an n-gram must have 0.
        scale = np.zeros(tree.node_count)
        scale[tree.nodes] = 1 if weighting.idf is None else weighting.idf[columns]
        arrays["scale"] = scale

    cleaned = cleaning_before(options, text)

    def original(texts: Sequence[str]) -> NDArray[np.float64]:
        features: Any = [cleaned(text) for text in texts]
        for _, step in steps[:-1]:
            features = step.transform(features)
        return np.asarray(classifier.predict_proba(features), np.float64)

    return Converted(
        labels=labels,
        text=text,
        model=LinearSettings(term_frequency=weighting.term_frequency, norm=weighting.norm),
        vocabulary=tree.vocabulary,
        weights=pack_arrays(arrays),
        calibration=Calibration(activation=linear.activation),
        threshold=package.threshold,
        original=original,
        tolerance=TOLERANCE,
        words=[*tree.vocabulary, *(terms[column] for column in columns if len(ngrams[column]) > 1)],
        description="scikit-learn " + ", ".join(_type(step) for _, step in steps),
        versions=library_versions({"scipy": scipy, "scikit-learn": sklearn}),
        notes=(*package.notes, cleaning_note(options), *_notes(package, options, classifier)),
    )


def _notes(package: Package, options: ImportOptions, classifier: Any) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if package.max_tokens is not None or options.max_tokens is not None:
        stated = options.max_tokens if package.max_tokens is None else package.max_tokens
        notes += (
            f"max_tokens {stated} is not used: a scikit-learn vectorizer reads the whole text, and so does "
            f"this model, up to {MAX_TOKENS:,} tokens.",
        )
    if options.labels is None and _own_labels(classifier.classes_) is None:
        notes += (
            f"Its classes are {', '.join(map(str, classifier.classes_))}; here they are called negative and "
            "positive.",
        )
    return notes


def _type(step: Any) -> str:
    return type(step).__name__


def _refuse(name: str, why: str) -> UnsupportedModel:
    return UnsupportedModel(f"step {name!r} {why}. Supported are {SUPPORTED}")


def _steps(package: Package) -> list[_Step]:
    """Return all steps by their names. Pipelines in pipelines are flattened, and empty steps left out."""
    steps: list[_Step] = [] if package.tokenizer is None else _flattened("vectorizer", package.tokenizer)
    steps += _flattened("model", package.model)
    if type(steps[0][1]) not in {CountVectorizer, TfidfVectorizer}:
        raise _refuse(steps[0][0], f"is {_type(steps[0][1])}; the first step must be a vectorizer of words")
    if len(steps) < 2:
        raise _refuse(steps[0][0], "is the only step; there is no classifier after it")
    return steps


def _flattened(name: str, estimator: Any) -> list[_Step]:
    if type(estimator) is Pipeline:
        return [
            (f"{name}.{inner}" if name not in {"model", "vectorizer"} else inner, step)
            for outer, part in estimator.steps
            for inner, step in _flattened(outer, part)
        ]
    return [] if estimator is None or estimator == "passthrough" else [(name, estimator)]


def _text_settings(step: _Step, options: ImportOptions) -> TextSettings:
    """Return the cleaning that the vectorizer does, with the steps before it that the options name."""
    name, vectorizer = step
    for parameter in ("preprocessor", "tokenizer"):
        if (value := getattr(vectorizer, parameter)) is not None:
            raise _refuse(name, f"({_type(vectorizer)}) has its own {parameter}, {value!r}")
    if vectorizer.analyzer != "word":
        raise _refuse(name, f"({_type(vectorizer)}) has analyzer={vectorizer.analyzer!r}")
    if vectorizer.input != "content":
        raise _refuse(name, f"({_type(vectorizer)}) reads input={vectorizer.input!r}, not texts")
    if vectorizer.strip_accents not in {None, "ascii", "unicode"}:
        raise _refuse(name, f"({_type(vectorizer)}) has strip_accents={vectorizer.strip_accents!r}")
    if np.dtype(vectorizer.dtype) not in {np.dtype(t) for t in ("int32", "int64", "float32", "float64")}:
        raise _refuse(name, f"({_type(vectorizer)}) counts in {np.dtype(vectorizer.dtype)}, which overflows")
    try:
        return TextSettings(
            normalize=None,
            strip_html=options.strip_html,
            lowercase=bool(vectorizer.lowercase),
            strip_accents=vectorizer.strip_accents,
            remove_special_chars=options.remove_special_chars,
            token_pattern=vectorizer.token_pattern,
            stopwords=tuple(sorted({*(vectorizer.get_stop_words() or ()), *options.stopwords})),
            unknown="keep",
            max_tokens=MAX_TOKENS,
        )
    except ValidationError as error:
        raise _refuse(name, f"({_type(vectorizer)}) cannot be imported: {first_error(error).rule}") from error


def _ngrams(step: _Step, terms: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Return the tokens of each feature that a text can have, by the feature's column."""
    name, vectorizer = step
    shortest, longest = vectorizer.ngram_range
    if longest == 1:
        return {column: (term,) for column, term in enumerate(terms)}
    find_all = re.compile(vectorizer.token_pattern).findall
    for term in terms:
        if spaced := [token for token in find_all(term) if " " in token]:
            raise _refuse(
                name,
                f"({_type(vectorizer)}) makes n-grams of tokens with spaces, such as {spaced[0]!r}; "
                "it is not known where such a token ends",
            )
    split = {column: tuple(term.split(" ")) for column, term in enumerate(terms)}
    return {column: ngram for column, ngram in split.items() if shortest <= len(ngram) <= longest}


def _weighting(steps: Sequence[_Step]) -> _Weighting:
    """Read the weighting from the vectorizer and from the steps between it and the classifier."""
    _, vectorizer = steps[0]
    weighting = _Weighting("binary" if vectorizer.binary else "count", None, None)
    if type(vectorizer) is TfidfVectorizer:
        weighting = _tfidf(steps[0], weighting)
    for place, (name, step) in enumerate(steps[1:-1], start=1):
        if type(step) is TfidfTransformer and place == 1 and type(vectorizer) is CountVectorizer:
            weighting = _tfidf((name, step), weighting)
        elif type(step) is Normalizer and step.norm in {"l1", "l2"}:
            weighting = replace(weighting, norm=step.norm)  # a later norm replaces an earlier one
        else:
            raise _refuse(name, f"is {step!r}, which cannot be converted at this position")
    return weighting


def _tfidf(step: _Step, counts: _Weighting) -> _Weighting:
    name, tfidf = step
    if tfidf.norm not in {"l1", "l2", None}:
        raise _refuse(name, f"({_type(tfidf)}) has norm={tfidf.norm!r}")
    # The logarithm does not change a count of 1, so it does not change binary features.
    frequency = "log" if tfidf.sublinear_tf and counts.term_frequency == "count" else counts.term_frequency
    idf = np.asarray(tfidf.idf_, np.float64) if tfidf.use_idf else None
    return _Weighting(frequency, idf, tfidf.norm)


def _linear(name: str, classifier: Any) -> _Linear:
    kind = type(classifier)
    if kind is OneVsRestClassifier:
        return _one_vs_rest(name, classifier)
    if kind in {LogisticRegression, LogisticRegressionCV}:
        _check_old_logistic(name, classifier)
        return _from_coefficients(classifier, "softmax")
    if kind is SGDClassifier:
        if classifier.loss != "log_loss":
            raise _refuse(
                name, f"is SGDClassifier(loss={classifier.loss!r}), which gives no logistic probabilities"
            )
        return _from_coefficients(classifier, "one-vs-rest")
    if kind in {MultinomialNB, ComplementNB}:
        weights = np.asarray(classifier.feature_log_prob_, np.float64).T
        # ComplementNB has a prior, but uses it only if there is a single class.
        prior = classifier.class_log_prior_ if kind is MultinomialNB else np.zeros(weights.shape[1])
        intercept = np.asarray(prior, np.float64)
        if weights.shape[1] == 2:
            weights, intercept = weights[:, 1:] - weights[:, :1], intercept[1:] - intercept[:1]
        return _Linear(weights, intercept, "softmax")
    raise _refuse(name, f"is {_type(classifier)}, which cannot be converted exactly")


def _from_coefficients(classifier: Any, activation: Literal["softmax", "one-vs-rest"]) -> _Linear:
    coefficients = classifier.coef_  # a sparse matrix after `sparsify()`
    coefficients = coefficients.toarray() if hasattr(coefficients, "toarray") else coefficients
    weights = np.asarray(coefficients, np.float64).T
    columns = weights.shape[1]
    intercept = np.broadcast_to(np.asarray(classifier.intercept_, np.float64), (columns,)).copy()
    return _Linear(weights, intercept, "softmax" if columns == 1 else activation)


def _check_old_logistic(name: str, classifier: Any) -> None:
    """Raise UnsupportedModel if an older release gave other answers.

    It had the setting `multi_class`, which this release ignores.
    """
    setting = vars(classifier).get("multi_class", "deprecated")
    classes = len(classifier.classes_)
    one_vs_rest = setting == "ovr" or (setting in {"auto", "warn"} and classifier.solver == "liblinear")
    if (classes > 2 and one_vs_rest) or (classes == 2 and setting == "multinomial"):
        raise _refuse(
            name,
            f"is {_type(classifier)}(multi_class={setting!r}, solver={classifier.solver!r}) with {classes} "
            "classes from an older scikit-learn; the installed release gives other answers",
        )


def _one_vs_rest(name: str, classifier: OneVsRestClassifier) -> _Linear:
    if classifier.multilabel_:
        raise _refuse(name, "is a OneVsRestClassifier for texts with several labels")
    parts = [_linear(f"{name}.estimator", estimator) for estimator in classifier.estimators_]
    return _Linear(
        np.hstack([part.weights for part in parts]),
        np.concatenate([part.intercept for part in parts]),
        "softmax" if len(parts) == 1 else "one-vs-rest",
    )


def _own_labels(classes: NDArray[Any]) -> tuple[str, ...] | None:
    """Return the names of the classes; None if they are two numbers without a meaning, such as 0 and 1."""
    if classes.ndim == 1 and classes.tolist() in ([0, 1], [-1, 1], [False, True]):
        return None
    return tuple(map(str, classes))
