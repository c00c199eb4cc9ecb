"""Artifacts in the BentoML model store."""

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException
from pydantic import ValidationError

from classifier.artifact import MANIFEST, Manifest, read_artifact
from classifier.errors import ArtifactError

MODULE = "classifier"
"""Marks a model of the store as one of ours."""

SHOWN_TAGS = 10


@dataclass(frozen=True)
class StoredModel:
    """One line of `list`."""

    tag: str
    created: datetime
    manifest: Manifest | None
    """None where it cannot be read."""


def save(folder: Path) -> str:
    """Copy a checked artifact into the store, where it is the latest of its name then; returns its tag."""
    artifact = read_artifact(folder)
    name = artifact.manifest.name
    tag = f"{name}:{artifact.version}"
    stored = {str(model.tag) for model in bentoml.models.list()}
    if tag in stored:
        if str(bentoml.models.get(f"{name}:latest").tag) == tag:
            return tag
        bentoml.models.delete(tag)  # BentoML takes the one that was made last for the latest
    with bentoml.models.create(tag, module=MODULE, labels={"kind": artifact.manifest.model.kind}) as model:
        for file in (MANIFEST, *artifact.manifest.files):
            shutil.copyfile(folder / file, Path(model.path) / file)
    return tag


def folder_of(tag: str) -> Path:
    """The folder of a stored artifact; raises ArtifactError where there is none."""
    try:
        return Path(bentoml.models.get(tag).path)
    except (BentoMLException, ValueError) as error:
        stored = sorted(str(model.tag) for model in _ours())
        has = f"it has {', '.join(stored[:SHOWN_TAGS])}" if stored else "it is empty"
        raise ArtifactError(f"the BentoML model store has no model {tag!r}; {has}") from error


def _ours() -> list[Any]:
    """The store's models that are artifacts, newest first."""
    models = [model for model in bentoml.models.list() if model.info.module == MODULE]
    return sorted(models, key=lambda model: model.info.creation_time, reverse=True)


def stored_models() -> list[StoredModel]:
    """Every artifact in the store, newest first."""
    return [
        StoredModel(str(model.tag), model.info.creation_time, _manifest(Path(model.path)))
        for model in _ours()
    ]


def _manifest(folder: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None
