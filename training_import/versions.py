"""The versions of the libraries that a model was made with."""

import platform
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np


def library_versions(libraries: Mapping[str, ModuleType | Any]) -> dict[str, str]:
    """Return the versions of Python, NumPy and these libraries, each by its name in the package index."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "numpy": np.__version__,
        **{name: library.__version__ for name, library in libraries.items()},
    }
