"""Gives each run its own BentoML store, so that no test sees or changes the user's store."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from training_import.dataset import Dataset

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


def _require(project: Path, *paths: Path) -> None:
    """Skip the test if a path is missing; fail where all data have to be there."""
    missing = [path for path in paths if not path.exists()]
    if missing:
        if "REQUIRE_FULL_DATA" in os.environ or ("CI" in os.environ and (project.parent / "shared").exists()):
            pytest.fail(f"{missing[0]} is missing, and this test is required here")
        pytest.skip(f"{missing[0]} is missing")


@pytest.fixture(scope="session")
def imdb(project: Path) -> Path:
    """The folder with the whole data set."""
    folder = project.parent / "shared" / "data" / "imdb"
    _require(project, folder / "train.parquet", folder / "test.parquet")
    return folder


@pytest.fixture(scope="session")
def sentences(project: Path) -> "Dataset":
    """The sentences of NLTK's corpus `sentence_polarity`."""
    import nltk

    from training_import.sentence_polarity import read_sentence_polarity

    folder = Path(os.environ.get("NLTK_DATA") or project.parent / "shared" / "nltk_data")
    _require(project, folder / "corpora" / "sentence_polarity.zip")
    nltk.data.path.insert(0, str(folder))
    return read_sentence_polarity()
