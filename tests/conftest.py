"""Gives each run its own BentoML store, so that no test sees or changes the user's store."""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# This comes before any import of BentoML, which reads the place of its store only once.
_home = tempfile.TemporaryDirectory(prefix="bentoml-")
os.environ["BENTOML_HOME"] = _home.name
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
for _name in [name for name in os.environ if "CLASSIFIER_" in name]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def bundled(project: Path) -> Path:
    """The folder of the artifact that a fresh clone serves."""
    return project / "models" / "imdb-sentiment"
