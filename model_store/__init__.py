"""Artifacts in the BentoML model store."""

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException, NotFound

from classifier.artifact import MANIFEST, Manifest, read_artifact
from classifier.errors import ArtifactError

MODULE = "classifier"
"""Marks a model of the store as one of ours."""


@dataclass(frozen=True)
class StoredModel:
    """One line of `list`."""

    tag: str
    created: datetime
    manifest: Manifest


def save(folder: Path) -> str:
    """Copy a checked artifact into the store, unless it is there; returns its tag.

    The version is the beginning of the digest: the same artifact always has the same tag.
    """
    artifact = read_artifact(folder)
    tag = f"{artifact.manifest.name}:{artifact.digest[:12]}"
    try:
        bentoml.models.get(tag)
    except NotFound:
        labels = {"kind": artifact.manifest.model.kind}
        with bentoml.models.create(tag, module=MODULE, labels=labels) as model:
            for name in (MANIFEST, *artifact.manifest.files):
                shutil.copyfile(folder / name, Path(model.path) / name)
    return tag


def folder_of(tag: str) -> Path:
    """The folder of a stored artifact; raises ArtifactError where there is none."""
    try:
        return Path(bentoml.models.get(tag).path)
    except (BentoMLException, ValueError) as error:
        raise ArtifactError(
            f"the BentoML model store has no model {tag!r}; "
            "`python -m training_import list` shows what it has"
        ) from error


def stored_models() -> list[StoredModel]:
    """Every artifact in the store, newest first."""
    models = [model for model in bentoml.models.list() if model.info.module == MODULE]
    models.sort(key=lambda model: model.info.creation_time, reverse=True)
    return [
        StoredModel(str(model.tag), model.info.creation_time, read_artifact(Path(model.path)).manifest)
        for model in models
    ]
