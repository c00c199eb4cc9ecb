"""Prepares the artifact that all servers load."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from benchmarks.bodies import IMDB, SLICES
from benchmarks.minilm import fetch_minilm
from classifier.artifact import write_artifact
from classifier.pipeline import Classifier, load_classifier
from classifier.settings import BUNDLED_MODEL, PreprocessingSettings
from training_import.conversion.sentence_encoders import read_encoder
from training_import.dataset import Dataset, read_dataset
from training_import.training.material import DataSets
from training_import.training.train import train

Kind = Literal["linear", "cnn", "transformer", "transformer-int8"]
KINDS: Mapping[str, Kind] = {kind: kind for kind in get_args(Kind)}

TRAINING_ROWS = 2000


@dataclass(frozen=True)
class ServedArtifact:
    """An artifact in the places where servers look for it."""

    kind: Kind
    folder: Path
    bentoml_home: Path
    """The BentoML model store with the artifact."""
    classifier: Classifier
    """The same artifact in this process. The servers' answers must equal its answers."""


def prepare(kind: Kind, workplace: Path) -> ServedArtifact:
    """Return the bundled linear artifact, or train another kind on 2,000 reviews."""
    folder = _FOLDERS[kind](workplace)
    home = workplace / "bentoml"
    os.environ["BENTOML_HOME"] = str(home)
    import model_store  # BentoML reads BENTOML_HOME when it is first imported

    model_store.save(folder)
    return ServedArtifact(kind, folder, home, load_classifier(folder))


def _train_network(workplace: Path) -> Path:
    folder = workplace / "cnn"
    artifact = train(DataSets(_training_part()), "cnn", "benchmark", PreprocessingSettings(), seed=0).artifact
    write_artifact(artifact, folder)
    return folder


def _train_head(workplace: Path, quantize: Literal["int8"] | None) -> Path:
    """Train a head on all-MiniLM-L6-v2, which reads 256 tokens of a text."""
    folder = workplace / f"head-{quantize}"
    encoder = read_encoder(fetch_minilm(workplace), quantize=quantize)
    data, preprocessing = DataSets(_training_part()), PreprocessingSettings()
    trained = train(data, "encoder", "benchmark", preprocessing, seed=0, encoder=encoder)
    write_artifact(trained.artifact, folder)
    return folder


_FOLDERS: Mapping[Kind, Callable[[Path], Path]] = {
    "linear": lambda _: BUNDLED_MODEL,
    "cnn": _train_network,
    "transformer": lambda workplace: _train_head(workplace, None),
    "transformer-int8": lambda workplace: _train_head(workplace, "int8"),
}
"""For each kind, a function that returns the artifact's folder; it may make it in the workplace."""


def _training_part() -> Dataset:
    path = IMDB / "train.parquet"
    return read_dataset(path if path.exists() else SLICES / "imdb_train.csv").first(TRAINING_ROWS)
