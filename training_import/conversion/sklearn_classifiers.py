"""The weights, and the way from scores to probabilities, of a scikit-learn classifier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from sklearn.calibration import CalibratedClassifierCV
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
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
from sklearn.svm import LinearSVC

from classifier.runtimes.calibrators import EnsembleCalibration
from classifier.validation import MAX_SHOWN_CHARACTERS, shortened
from training_import.conversion.sklearn_features import (
    Step,
    View,
    as_presence,
    refuse,
    type_name,
)

SUPPORTED_CLASSIFIERS = (
    "LogisticRegression, LogisticRegressionCV, SGDClassifier, MultinomialNB, ComplementNB, BernoulliNB, "
    "OneVsRestClassifier or MultiOutputClassifier of one of these, CalibratedClassifierCV of one of these or "
    "of LinearSVC, and, with labelled texts for their probabilities, LinearSVC, RidgeClassifier, "
    "RidgeClassifierCV, Perceptron and PassiveAggressiveClassifier"
)

_Floats = NDArray[np.float64]
_Activation = Literal["softmax", "one-vs-rest", "sigmoid"]

CERTAIN = 40.0
"""The log-odds of a label that every text of the training had; the probability differs from 1 by 4e-18."""


@dataclass(frozen=True)
class Scoring:
    """How the columns of a text become scores, and the scores probabilities.

    There is one column of scores for two classes, and else one for each class or label.
    """

    views: tuple[View, ...]
    weights: _Floats
    """Shape (features, columns)."""
    intercept: _Floats
    """Shape (columns)."""
    activation: _Activation | None
    """None if the classifier has no probabilities."""
    calibration: EnsembleCalibration | None = None
    """The calibration of several columns, which comes before the activation, a softmax."""
    calibrators: Mapping[str, _Floats] = field(default_factory=dict)
    """The arrays of `Calibrators`."""
    are_decisions: bool = True
    """Whether the classifier's `decision_function` gives the scores; if not, its probabilities are what a
    calibration reads."""
    has_several_labels: bool = False
    """Whether a text can have several labels; each has a column then."""
    notes: tuple[str, ...] = ()
    """What a person should know."""


def read_classifier(step: Step, views: Sequence[View]) -> Scoring:
    """Return how a classifier scores the columns of the views.

    Raises UnsupportedModel, which names the step that cannot be converted.
    """
    name, classifier = step
    read = _READERS.get(type(classifier))
    if read is None:
        raise refuse_classifier(name, f"is {type_name(classifier)}, which cannot be converted exactly")
    return read(name, classifier, tuple(views))


def refuse_classifier(name: str, why: str) -> Exception:
    """Return the error for a classifier that cannot be converted."""
    return refuse(name, why, SUPPORTED_CLASSIFIERS)


def _logistic(name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    _check_old_logistic(name, classifier)
    return _from_coefficients(classifier, views, "softmax")


def _decisions(_name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    return _from_coefficients(classifier, views, None)


def _ridge(_name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    scoring = _from_coefficients(classifier, views, None)
    binarizer = getattr(classifier, "_label_binarizer", None)
    return replace(
        scoring, has_several_labels=str(getattr(binarizer, "y_type_", "")).startswith("multilabel")
    )


def _sgd(_name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    if classifier.loss == "log_loss":
        return _from_coefficients(classifier, views, "one-vs-rest")
    scoring = _from_coefficients(classifier, views, None)
    if classifier.loss != "modified_huber":
        return scoring
    # Its probability of a class is (score + 1) / 2, bounded by 0 and 1 (Zhang, 2002).
    columns = len(scoring.intercept)
    line = {"x": [-1.0, 1.0] * columns, "y": [0.0, 1.0] * columns, "knots": [2.0] * columns}
    return replace(
        scoring,
        activation="softmax",
        calibration=EnsembleCalibration(members=1, method="isotonic"),
        calibrators={f"calibrator_{name}": np.array(values) for name, values in line.items()},
    )


def _naive_bayes(_name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    weights = np.asarray(classifier.feature_log_prob_, np.float64).T
    # ComplementNB has a prior, but uses it only if there is a single class.
    has_prior = type(classifier) is MultinomialNB
    prior = classifier.class_log_prior_ if has_prior else np.zeros(weights.shape[1])
    return _joint(weights, np.asarray(prior, np.float64), views)


def _bernoulli(name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    present = np.asarray(classifier.feature_log_prob_, np.float64)
    absent = np.log(1 - np.exp(present))
    intercept = np.asarray(classifier.class_log_prior_, np.float64) + absent.sum(axis=1)
    return _joint((present - absent).T, intercept, tuple(as_presence(views, name, classifier.binarize)))


def _joint(weights: _Floats, intercept: _Floats, views: tuple[View, ...]) -> Scoring:
    """Return the scoring whose scores are the logarithms of the classes' joint probabilities with a text."""
    if weights.shape[1] == 2:
        weights, intercept = weights[:, 1:] - weights[:, :1], intercept[1:] - intercept[:1]
    return Scoring(views, weights, intercept, "softmax", are_decisions=False)


def _from_coefficients(classifier: Any, views: tuple[View, ...], activation: _Activation | None) -> Scoring:
    coefficients = classifier.coef_  # a sparse matrix after `sparsify()`
    coefficients = coefficients.toarray() if hasattr(coefficients, "toarray") else coefficients
    weights = np.atleast_2d(np.asarray(coefficients, np.float64)).T
    columns = weights.shape[1]
    intercept = np.broadcast_to(np.asarray(classifier.intercept_, np.float64), (columns,)).copy()
    return Scoring(views, weights, intercept, "softmax" if activation and columns == 1 else activation)


def _check_old_logistic(name: str, classifier: Any) -> None:
    """Raise UnsupportedModel if an older release gave other answers.

    It had the setting `multi_class`, which this release ignores.
    """
    setting = vars(classifier).get("multi_class", "deprecated")
    classes = len(classifier.classes_)
    one_vs_rest = setting == "ovr" or (setting in {"auto", "warn"} and classifier.solver == "liblinear")
    if (classes > 2 and one_vs_rest) or (classes == 2 and setting == "multinomial"):
        raise refuse_classifier(
            name,
            f"is {type_name(classifier)}(multi_class={setting!r}, solver={classifier.solver!r}) with "
            f"{classes} classes from an older scikit-learn; the installed release gives other answers",
        )


def _one_vs_rest(name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    if classifier.multilabel_:
        return _several_labels(name, classifier, views)
    parts = [read_classifier((f"{name}.estimator", one), views) for one in classifier.estimators_]
    activation: _Activation = "softmax" if len(parts) == 1 else "one-vs-rest"
    return _joined(name, classifier, parts, activation)


def _multi_output(name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    for number, classes in enumerate(classifier.classes_):
        if list(classes) != [0, 1]:
            raise refuse_classifier(
                name,
                f"is a MultiOutputClassifier whose output {number} has the classes "
                f"{shortened(repr(list(classes)), MAX_SHOWN_CHARACTERS)}; each output must be one label, "
                "with the classes 0 and 1",
            )
    return _several_labels(name, classifier, views)


def _several_labels(name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    """Return the scoring of a binary classifier for each label."""
    learned = [one for one in classifier.estimators_ if not _is_constant(one)]
    if not learned:
        raise refuse_classifier(name, "has no label that some texts of the training had and others had not")
    parts = [read_classifier((f"{name}.estimator", one), views) for one in learned]
    joined = _joined(name, classifier, parts, "sigmoid")
    weights = np.zeros((len(joined.weights), len(classifier.estimators_)))
    intercept = np.empty(len(classifier.estimators_))
    columns = iter(zip(joined.weights.T, joined.intercept, strict=True))
    constant = []
    for number, one in enumerate(classifier.estimators_):
        if _is_constant(one):
            constant.append(number)
            value = float(one.y_[0])  # a decision of 0 or 1, or a probability of the same value
            intercept[number] = value if joined.activation is None else (2 * value - 1) * CERTAIN
        else:
            weights[:, number], intercept[number] = next(columns)
    notes = (
        f"All texts of the training had the same value of the label{'s' * (len(constant) > 1)} in the place "
        f"{', '.join(map(str, constant))} (counted from 0), so no text changes its probability.",
    )
    return replace(
        joined,
        weights=weights,
        intercept=intercept,
        has_several_labels=True,
        notes=notes if constant else (),
    )


def _is_constant(classifier: Any) -> bool:
    """Return whether it stands for a label that all texts had, or none; the type has no public name."""
    return type(classifier).__name__ == "_ConstantPredictor"


def _joined(name: str, classifier: Any, parts: Sequence[Scoring], activation: _Activation) -> Scoring:
    """Return the scoring with the columns of binary classifiers side by side."""
    kind = f"is a {type_name(classifier)} of {type_name(classifier.estimators_[0])}"
    calibrations = [part.calibration for part in parts if part.calibration]
    if calibrations and not calibrations[0].of_probabilities:
        raise refuse_classifier(
            name, f"{kind}, which could be converted exactly with method='sigmoid' and ensemble=False"
        )
    if calibrations or not _have_same_views(parts):
        raise refuse_classifier(name, kind)
    return replace(
        parts[0],
        weights=np.hstack([part.weights for part in parts]),
        intercept=np.concatenate([part.intercept for part in parts]),
        activation=None if parts[0].activation is None else activation,
    )


def probabilities_or_decisions(classifier: Any, features: Any, scoring: Scoring) -> _Floats:
    """Return what a fitted classifier itself says about n texts, shape (n, classes).

    They are its probabilities, or its decisions if it has none. `scoring` is what was read from it.
    """
    has_probabilities = scoring.activation is not None
    if type(classifier) is MultiOutputClassifier and has_probabilities:
        of_labels = [np.asarray(one)[:, 1] for one in classifier.predict_proba(features)]
        return np.stack(of_labels, axis=1)
    if type(classifier) is MultiOutputClassifier:
        return np.stack([one.decision_function(features) for one in classifier.estimators_], axis=1)
    if has_probabilities:
        return np.asarray(classifier.predict_proba(features), np.float64)
    scores = np.asarray(classifier.decision_function(features), np.float64)
    # A single score is the second class's against the first.
    return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores


def _calibrated(name: str, classifier: Any, views: tuple[View, ...]) -> Scoring:
    """Read an ensemble of calibrated classifiers, or a single one, of the same views."""
    return calibrated_members(
        name,
        classifier,
        [read_classifier((f"{name}.estimator", one), views) for one in members_of(classifier)],
    )


def members_of(classifier: CalibratedClassifierCV) -> list[Any]:
    """Return the fitted classifier, or Pipeline, of each member."""
    estimators = [member.estimator for member in classifier.calibrated_classifiers_]
    return [one.estimator if type(one) is FrozenEstimator else one for one in estimators]


def calibrated_members(name: str, classifier: CalibratedClassifierCV, scorings: Sequence[Scoring]) -> Scoring:
    """Return the scoring of an ensemble, from those of its members, which may have views of their own."""
    members = classifier.calibrated_classifiers_
    first, kind = scorings[0], type_name(members_of(classifier)[0])
    if any(one.calibration for one in scorings):
        raise refuse_classifier(name, f"is a CalibratedClassifierCV of {kind}, which is calibrated itself")
    if any(len(member.estimator.classes_) != len(classifier.classes_) for member in members):
        raise refuse_classifier(name, "has a member that does not know all classes")
    if members[0].method == "temperature" and not first.are_decisions:
        raise refuse_classifier(
            name, f"has method='temperature' and {kind}, whose answers depend on rounding"
        )
    views, weights = _side_by_side(scorings)
    intercept = np.concatenate([one.intercept for one in scorings])
    method, calibrators = _CALIBRATORS[members[0].method](members, first)
    scoring = replace(first, views=views, weights=weights, intercept=intercept, activation="softmax")
    if len(members) == 1 and first.are_decisions and method == "sigmoid" and weights.shape[1] == 1:
        # The sigmoid of a line is logistic regression, whose scores are sums that can be explained.
        slope, shift = calibrators["calibrator_slopes"], calibrators["calibrator_intercepts"]
        return replace(scoring, weights=weights * slope, intercept=intercept * slope + shift)
    if len(members) == 1 and method == "temperature":
        slope = calibrators["calibrator_slopes"]
        return replace(scoring, weights=weights * slope, intercept=intercept * slope)
    return replace(
        scoring,
        calibration=EnsembleCalibration(
            members=len(members), method=method, of_probabilities=not first.are_decisions
        ),
        calibrators=calibrators,
    )


def _side_by_side(scorings: Sequence[Scoring]) -> tuple[tuple[View, ...], _Floats]:
    """Return the views of all scorings, and their weights in columns side by side.

    The columns of a scoring with views of its own have no weights for the other views.
    """
    if _have_same_views(scorings):
        return scorings[0].views, np.hstack([one.weights for one in scorings])
    views = tuple(view for one in scorings for view in one.views)
    return views, np.asarray(block_diag(*(one.weights for one in scorings)), np.float64)


def _have_same_views(scorings: Sequence[Scoring]) -> bool:
    first = scorings[0].views
    return all(
        len(one.views) == len(first)
        and all(mine.is_same(other) for mine, other in zip(one.views, first, strict=True))
        for one in scorings
    )


_Method = Literal["sigmoid", "isotonic", "temperature"]
_Arrays = dict[str, _Floats]


def _sigmoids(members: Sequence[Any], _first: Scoring) -> tuple[_Method, _Arrays]:
    all_of_them = [calibrator for member in members for calibrator in member.calibrators]
    return "sigmoid", {
        "calibrator_slopes": np.array([-one.a_ for one in all_of_them], np.float64),
        "calibrator_intercepts": np.array([-one.b_ for one in all_of_them], np.float64),
    }


def _isotonics(members: Sequence[Any], _first: Scoring) -> tuple[_Method, _Arrays]:
    lines = [calibrator for member in members for calibrator in member.calibrators]
    return "isotonic", {
        "calibrator_x": np.concatenate([np.asarray(one.X_thresholds_, np.float64) for one in lines]),
        "calibrator_y": np.concatenate([np.asarray(one.y_thresholds_, np.float64) for one in lines]),
        "calibrator_knots": np.array([len(one.X_thresholds_) for one in lines], np.float64),
    }


def _temperatures(members: Sequence[Any], first: Scoring) -> tuple[_Method, _Arrays]:
    # scikit-learn makes (-score, score) of the single score of two classes, which is twice the difference.
    factor = 2 if len(first.intercept) == 1 else 1
    slopes = [factor * member.calibrators[0].beta_ for member in members]
    return "temperature", {"calibrator_slopes": np.array(slopes, np.float64)}


_CALIBRATORS: Mapping[str, Callable[[Sequence[Any], Scoring], tuple[_Method, _Arrays]]] = {
    "sigmoid": _sigmoids,
    "isotonic": _isotonics,
    "temperature": _temperatures,
}

_READERS: Mapping[type, Callable[[str, Any, tuple[View, ...]], Scoring]] = {
    LogisticRegression: _logistic,
    LogisticRegressionCV: _logistic,
    SGDClassifier: _sgd,
    MultinomialNB: _naive_bayes,
    ComplementNB: _naive_bayes,
    BernoulliNB: _bernoulli,
    OneVsRestClassifier: _one_vs_rest,
    MultiOutputClassifier: _multi_output,
    CalibratedClassifierCV: _calibrated,
    LinearSVC: _decisions,
    RidgeClassifier: _ridge,
    RidgeClassifierCV: _ridge,
    Perceptron: _decisions,
    PassiveAggressiveClassifier: _decisions,
}
