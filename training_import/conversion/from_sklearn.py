"""Convert a scikit-learn pipeline of n-grams and a linear classifier."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from classifier.artifact import Calibration
from classifier.runtimes.arrays import MAX_MEMBERS, MAX_NUMBERS
from classifier.runtimes.ensemble import EnsembleSettings, Part, array_prefix
from classifier.runtimes.linear import LinearSettings, pack_arrays
from classifier.validation import first_error
from training_import.conversion.converted import (
    Converted,
    ImportOptions,
    Package,
    UnsupportedModel,
    cleaning_before,
    cleaning_note,
)
from training_import.conversion.labels import class_labels
from training_import.conversion.older_sklearn import way_out
from training_import.conversion.sklearn_classifiers import (
    Scoring,
    calibrated_members,
    members_of,
    probabilities_or_decisions,
    read_classifier,
)
from training_import.conversion.sklearn_features import (
    MAX_TOKENS,
    Step,
    View,
    flattened,
    read_features,
    refuse,
    text_column,
    type_name,
)
from training_import.ngrams import NgramTree, ngram_tree
from training_import.samples import ANY_WORDS
from training_import.versions import library_versions

TOLERANCE = 1e-6

_Arrays = dict[str, NDArray[Any]]


def convert_sklearn(package: Package, options: ImportOptions) -> Converted:
    """Convert a fitted Pipeline, or the vectorizer and classifier of a package.

    Raises UnsupportedModel, which names the step that cannot be converted, and says what can.
    """
    steps = _steps(package)
    with _missing_attributes(package):
        return _convert(steps, package, options)


@contextmanager
def _missing_attributes(package: Package) -> Iterator[None]:
    """Raise UnsupportedModel for an attribute that a part of the model does not have.

    A model of another version of scikit-learn may lack attributes, and so does one that was not fitted.
    """
    try:
        yield
    except AttributeError as error:
        why = way_out(package.sklearn_versions) if package.sklearn_versions else "was it fitted?"
        raise UnsupportedModel(f"the scikit-learn model lacks an attribute: {error}; {why}") from error


def _convert(steps: Sequence[Step], package: Package, options: ImportOptions) -> Converted:
    classifier_name, classifier = steps[-1]
    scoring = _scoring(steps, options)
    views = scoring.views
    classes = len(scoring.intercept) if scoring.has_several_labels else classifier.classes_
    labels = class_labels(options, package.class_names, classes)
    made = sum(len(view.columns) for view in views)
    if made != len(scoring.weights):
        raise UnsupportedModel(
            f"step {steps[0][0]!r} makes {made} features, but step {classifier_name!r} was trained on "
            f"{len(scoring.weights)}; they do not belong together"
        )
    bounds = np.cumsum([len(view.columns) for view in views])[:-1]
    parts = [
        _part(view, weights, scoring.intercept if number == 0 else np.zeros_like(scoring.intercept))
        for number, (view, weights) in enumerate(zip(views, np.split(scoring.weights, bounds), strict=True))
    ]
    model, arrays = _model(scoring, parts)
    _check_arrays(arrays)
    return Converted(
        labels=labels,
        text=views[0].text,
        model=model,
        vocabulary=tuple(token for tree, _ in parts for token in tree.vocabulary),
        weights=pack_arrays(arrays),
        calibration=None if scoring.activation is None else Calibration(activation=scoring.activation),
        threshold=package.threshold,
        has_several_labels=scoring.has_several_labels,
        thresholds=package.thresholds,
        original=_original(steps, package, options, scoring),
        tolerance=TOLERANCE,
        words=[word for view, (tree, _) in zip(views, parts, strict=True) for word in _words(view, tree)],
        description="scikit-learn " + ", ".join(type_name(step) for _, step in steps),
        versions=library_versions({"scipy": scipy, "scikit-learn": sklearn}),
        notes=(*package.notes, *scoring.notes, cleaning_note(options), *_notes(package, options)),
    )


def _scoring(steps: Sequence[Step], options: ImportOptions) -> Scoring:
    """Read the steps of a pipeline, or a single step, which is a calibrated Pipeline."""
    if len(steps) > 1:
        return read_classifier(steps[-1], read_features(steps[:-1], options))
    ((name, classifier),) = steps
    pipelines = [flattened(name, member) for member in members_of(classifier)]
    members = [read_classifier(part[-1], read_features(part[:-1], options)) for part in pipelines]
    return calibrated_members(name, classifier, members)


def _part(
    view: View, weights: NDArray[np.float64], intercept: NDArray[np.float64]
) -> tuple[NgramTree, _Arrays]:
    """Return the tree of a view's n-grams, and the arrays that `LinearRuntime` reads."""
    of_column = np.zeros((view.size, weights.shape[1]))
    of_column[view.columns] = weights * view.factor[:, None]
    if view.hashing is not None:
        return _hashed_part(view, of_column, intercept)
    # An n-gram without a weight counts only for the norm. A vocabulary given by hand may have n-grams of a
    # length that no text is searched for.
    counts = view.scale != 0 if view.norm else np.isin(np.arange(view.size), view.columns)
    columns = np.array([column for column in sorted(view.ngrams) if counts[column]], np.intp)
    tree = ngram_tree([view.ngrams[column] for column in columns])
    values = np.zeros((tree.node_count, weights.shape[1]))
    values[tree.nodes] = of_column[columns] * (1 if view.norm else view.scale[columns, None])
    arrays: _Arrays = {**tree.arrays, "weights": values, "intercept": intercept}
    if view.norm and ((view.scale[columns] != 1).any() or not tree.is_feature.all()):
        # The norm includes every node whose scale is not 0, so a mere beginning of an n-gram must have 0.
        scale = np.zeros(tree.node_count)
        scale[tree.nodes] = view.scale[columns]
        arrays["scale"] = scale
    return tree, arrays


def _hashed_part(
    view: View, weights: NDArray[np.float64], intercept: NDArray[np.float64]
) -> tuple[NgramTree, _Arrays]:
    """Return an empty tree, and the arrays that `HashedModel` reads."""
    arrays: _Arrays = {"weights": weights, "intercept": intercept}
    if view.norm and (view.scale != 1).any():
        arrays["scale"] = view.scale
    return ngram_tree([]), arrays


def _model(
    scoring: Scoring, parts: Sequence[tuple[NgramTree, _Arrays]]
) -> tuple[LinearSettings | EnsembleSettings, _Arrays]:
    """Return the settings and arrays of the simplest runtime that scores texts like this."""
    views = scoring.views
    if len(views) == 1 and scoring.calibration is None and views[0].hashing is None:
        return LinearSettings(term_frequency=views[0].term_frequency, norm=views[0].norm), parts[0][1]
    arrays = {
        array_prefix(number) + name: array
        for number, (_, of_part) in enumerate(parts)
        for name, array in of_part.items()
    }
    try:
        settings = EnsembleSettings(
            parts=tuple(
                Part(
                    text=view.text,
                    tokens=len(tree.vocabulary),
                    term_frequency=view.term_frequency,
                    norm=view.norm,
                    hashing=view.hashing,
                )
                for view, (tree, _) in zip(views, parts, strict=True)
            ),
            calibration=scoring.calibration,
        )
    except ValidationError as error:
        raise UnsupportedModel(f"the model cannot be imported: {first_error(error)}") from error
    return settings, {**arrays, **scoring.calibrators}


def _check_arrays(arrays: _Arrays) -> None:
    """Raise UnsupportedModel for weights that no service would load."""
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise UnsupportedModel(
            "the model has a weight that is not a finite number, so it cannot be compared; train it again"
        )
    if len(arrays) > MAX_MEMBERS:
        raise UnsupportedModel(
            f"the model has {len(arrays)} arrays of weights, because it reads a text in so many ways; at "
            f"most {MAX_MEMBERS} are allowed, so use fewer vectorizers or shorter n-grams"
        )
    numbers = sum(array.size for array in arrays.values())
    if numbers > MAX_NUMBERS:
        raise UnsupportedModel(
            f"the model has {numbers:,} weights; at most {MAX_NUMBERS:,} are allowed, so use fewer features: "
            "max_features of a vectorizer, or n_features of a HashingVectorizer"
        )


def _words(view: View, tree: NgramTree) -> list[str]:
    """Return tokens and n-grams to make texts of."""
    if view.hashing is not None:
        return list(ANY_WORDS)
    are_words = view.text.units == "words"
    longer = [ngram for ngram in view.ngrams.values() if len(ngram) > 1]
    return [*tree.vocabulary, *((" " if are_words else "").join(ngram) for ngram in longer)]


def _original(
    steps: Sequence[Step], package: Package, options: ImportOptions, scoring: Scoring
) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    cleaned = cleaning_before(options, scoring.views[0].text)
    classifier = steps[-1][1]

    def original(texts: Sequence[str]) -> NDArray[np.float64]:
        with _missing_attributes(package):
            features: Any = _as_input(steps[0], [cleaned(text) for text in texts])
            for _, step in steps[:-1]:
                features = step.transform(features)
            return probabilities_or_decisions(classifier, features, scoring)

    return original


def _as_input(first: Step, texts: Sequence[str]) -> Any:
    """Return texts as the first step reads them: a list, or a table with one column of texts."""
    _, estimator = first
    if type(estimator) is not ColumnTransformer:
        return texts
    import pandas as pd

    column = text_column(first)
    names = list(getattr(estimator, "feature_names_in_", range(estimator.n_features_in_)))
    name = names[column] if isinstance(column, int) else column
    return pd.DataFrame({other: texts if other == name else "" for other in names})


def _notes(package: Package, options: ImportOptions) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if package.max_tokens is not None or options.max_tokens is not None:
        stated = options.max_tokens if package.max_tokens is None else package.max_tokens
        notes += (
            f"max_tokens {stated} is not used: a scikit-learn vectorizer reads the whole text, and so does "
            f"this model, up to {MAX_TOKENS:,} tokens.",
        )
    return notes


def _is_calibrated_pipeline(estimator: Any) -> bool:
    return type(estimator) is CalibratedClassifierCV and all(
        type(member) is Pipeline and len(flattened("", member)) > 1 for member in members_of(estimator)
    )


def _steps(package: Package) -> list[Step]:
    """Return all steps by their names. Pipelines in pipelines are flattened, and empty steps left out."""
    steps = [] if package.tokenizer is None else flattened("vectorizer", package.tokenizer)
    steps += flattened("model", package.model)
    if not steps:
        raise UnsupportedModel("the file has no model, but an empty one")
    if len(steps) == 1 and _is_calibrated_pipeline(steps[0][1]):
        return steps
    if len(steps) == 1 and (inner := _pipeline_in(steps[0][1])):
        raise refuse(
            steps[0][0],
            f"is {type_name(steps[0][1])} of {inner}, so each of its classifiers may have another "
            f"vectorizer; train it as Pipeline([vectorizer, {type_name(steps[0][1])}(classifier)])",
        )
    if len(steps) < 2:
        raise refuse(
            steps[0][0],
            f"is {type_name(steps[0][1])}, the only step; a vectorizer and a classifier are needed, in one "
            "file or with --vectorizer",
        )
    return steps


def _pipeline_in(classifier: Any) -> str | None:
    """Return the name of the type that the classifier was made with, if it is a Pipeline; else None."""
    inner: Any = getattr(classifier, "estimator", None)
    while type(inner) is FrozenEstimator:
        inner = inner.estimator
    return type_name(inner) if type(inner) is Pipeline else None
