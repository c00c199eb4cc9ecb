"""Check that the packages for training are installed."""

import importlib.util
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from classifier.errors import ClassifierError

PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "joblib": "joblib",
        "matplotlib": "matplotlib",
        "nltk": "nltk",
        "onnx": "onnx",
        "pyarrow": "pyarrow",
        "rich": "rich",
        "scikit-learn": "sklearn",
        "skops": "skops",
        "tensorflow-cpu": "tensorflow",
        "tf2onnx": "tf2onnx",
        "typer": "typer",
    }
)
"""What requirements/train.in adds to the serving packages, each with the module that it provides."""


class PackagesMissing(ClassifierError):
    """Training, evaluation and import cannot run with the installed packages."""


def check_training_packages(needed: Iterable[str] = PACKAGES) -> None:
    """Raise PackagesMissing if a needed package is missing; its import would fail with a stack trace."""
    missing = [name for name in needed if importlib.util.find_spec(PACKAGES[name]) is None]
    if missing:
        raise PackagesMissing(
            f"training, evaluation and import need {', '.join(missing)}, which the installed packages lack; "
            "`make train-deps` installs them"
        )
