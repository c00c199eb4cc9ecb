"""Read models that other releases of scikit-learn saved."""

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

import sklearn
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.feature_extraction.text import TfidfTransformer

FORMER_MODULES: Mapping[str, str] = MappingProxyType(
    {
        "sklearn.externals.joblib.numpy_pickle": "joblib.numpy_pickle",
        "sklearn.feature_selection.base": "sklearn.feature_selection._base",
        "sklearn.feature_selection.univariate_selection": "sklearn.feature_selection._univariate_selection",
        "sklearn.linear_model.base": "sklearn.linear_model._base",
        "sklearn.linear_model.logistic": "sklearn.linear_model._logistic",
        "sklearn.linear_model.passive_aggressive": "sklearn.linear_model._passive_aggressive",
        "sklearn.linear_model.perceptron": "sklearn.linear_model._perceptron",
        "sklearn.linear_model.ridge": "sklearn.linear_model._ridge",
        "sklearn.linear_model.sgd_fast": "sklearn.linear_model._sgd_fast",
        "sklearn.linear_model.stochastic_gradient": "sklearn.linear_model._stochastic_gradient",
        "sklearn.preprocessing.data": "sklearn.preprocessing._data",
        "sklearn.preprocessing.label": "sklearn.preprocessing._label",
        "sklearn.svm.classes": "sklearn.svm._classes",
    }
)
"""The modules that have other names since scikit-learn 0.22, which old pickles still name."""

_SAVED_VERSION = re.compile(rb"_sklearn_version(?:q.|r.{4}|\x94)?(?:X(.)\0\0\0|\x8c(.))", re.DOTALL)
"""How a pickle that is not compressed begins to say which release saved it; a group is the text's length."""


class OfTraining:
    """Takes the place of a class or function that only the training or a search used."""

    def __init__(self, *_: Any) -> None: ...


LOST_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sklearn.linear_model._sgd_fast": ("Log",),  # the loss of SGDClassifier, up to 1.5
        "sklearn.metrics._scorer": (
            "_passthrough_scorer",  # what a search compared models with, up to 1.2
            "_PredictScorer",
            "_ProbaScorer",
            "_ThresholdScorer",
        ),
    }
)
"""Names that modules of scikit-learn no longer have, and that no prediction needs."""


@contextlib.contextmanager
def noted_versions() -> Iterator[list[str]]:
    """Collect the releases of scikit-learn that saved what is read, instead of its warnings about them.

    The list is filled at the end.
    """
    versions: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield versions
        finally:
            messages = [warning.message for warning in caught]
            versions += sorted(
                {m.original_sklearn_version for m in messages if isinstance(m, InconsistentVersionWarning)}
            )


@contextlib.contextmanager
def former_names() -> Iterator[None]:
    """Make the former names of scikit-learn's modules and classes importable while a file is read."""
    lost = [
        (module, name)
        for module, names in ((import_module(path), names) for path, names in LOST_NAMES.items())
        for name in names
        if not hasattr(module, name)
    ]
    for module, name in lost:
        setattr(module, name, OfTraining)
    try:
        with replaced_modules(FORMER_MODULES):
            yield
    finally:
        for module, name in lost:
            delattr(module, name)


@contextlib.contextmanager
def replaced_modules(names: Mapping[str, str]) -> Iterator[None]:
    """Make modules importable by other names; a module is imported only if something from it is used."""
    added = {name: _Renamed(name, now) for name, now in names.items() if name not in sys.modules}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


class _Renamed(ModuleType):
    def __init__(self, name: str, now: str) -> None:
        super().__init__(name)
        self._now = now

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._now), name)


def repair(content: Any) -> None:
    """Give the values of older releases the names that the installed one reads.

    Up to scikit-learn 1.4 the `idf_` of a TfidfTransformer was the diagonal of the matrix `_idf_diag`. A
    newer release does not read it, and leaves the weighting out without a word. The parts of a
    CalibratedClassifierCV had other names up to 1.1.
    """
    for part in _parts(content):
        values = vars(part)
        if isinstance(part, TfidfTransformer) and "_idf_diag" in values and "idf_" not in values:
            part.idf_ = values["_idf_diag"].diagonal()
        if isinstance(part, CalibratedClassifierCV | _CalibratedClassifier):
            for former, now in _FORMER_PARTS.items():
                if former in values and now not in values:
                    setattr(part, now, values[former])


_FORMER_PARTS: Mapping[str, str] = MappingProxyType(
    {"base_estimator": "estimator", "calibrators_": "calibrators"}
)


def _parts(content: Any) -> Iterator[Any]:
    if isinstance(content, BaseEstimator | _CalibratedClassifier):
        yield content
        content = vars(content)
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, list | tuple):
        for part in content:
            yield from _parts(part)


def version_in(pickle: bytes) -> list[str]:
    """Return the release of scikit-learn that a pickle names, if it can be found without unpickling."""
    found = _SAVED_VERSION.search(pickle)
    if found is None:
        return []
    length = (found[1] or found[2])[0]
    version = pickle[found.end() : found.end() + length].decode(errors="replace")
    return [] if version == sklearn.__version__ else [version]


def version_notes(versions: tuple[str, ...]) -> tuple[str, ...]:
    """Say which other releases saved the model."""
    return tuple(
        f"It was saved with scikit-learn {version} and compared under {sklearn.__version__}; --expected "
        f"compares it with probabilities that it gave under {version}."
        for version in versions
    )


def way_out(versions: Sequence[str]) -> str:
    """Say which releases saved the model and which is installed, and what to do."""
    here = sklearn.__version__
    if not versions:
        return (
            f"the installed release is scikit-learn {here}; if another one saved the model, train it again "
            f"with this one (`pip install scikit-learn=={here}`)"
        )
    numpy = ' "numpy<2"' if tuple(map(int, re.findall(r"\d+", versions[0])[:2])) < (1, 4) else ""
    return (
        f"it was saved with scikit-learn {' and '.join(versions)}, and {here} is installed here. Read its "
        f"settings (`model.get_params()`) in an environment of its own (`pip install "
        f"scikit-learn=={versions[0]}{numpy}`), and train it again with them and `pip install "
        f"scikit-learn=={here}`"
    )
