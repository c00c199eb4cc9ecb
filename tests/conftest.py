"""A BentoML store of this run's own, so that no test sees or changes the store of whoever runs it."""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Before any import of BentoML, which reads the place of its store once.
_home = tempfile.TemporaryDirectory(prefix="bentoml-")
os.environ["BENTOML_HOME"] = _home.name
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
for _name in [name for name in os.environ if "CLASSIFIER_" in name]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the project."""
    return ROOT


@pytest.fixture(scope="session")
def bundled(project: Path) -> Path:
    """The artifact that a fresh machine serves."""
    return project / "models" / "imdb-sentiment"
