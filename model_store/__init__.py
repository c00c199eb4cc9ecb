"""Artifacts in the BentoML model store."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import bentoml
import yaml
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models.model import ModelInfo
from bentoml.exceptions import BentoMLException

from classifier.artifact import (
    MANIFEST,
    Artifact,
    Manifest,
    digest_of,
    holds,
    read_artifact,
    read_manifest,
    version_of,
)
from classifier.errors import ArtifactError
from classifier.settings import BUNDLED_MODEL, ModelSettings

MODULE = "classifier"
"""The name in BentoML's descriptions that marks a model as an artifact of this project."""

MAX_SHOWN_TAGS = 10

DESCRIPTION = "model.yaml"
"""The file that BentoML keeps in each entry of the store."""
LATEST = "latest"
"""The file next to the versions of a model that names the latest one."""
LOCK = ".import-lock"
NEW_FILE = ".import-new"
"""The name of a file of the store while it is written."""
STAGED = "classifier-import-in-progress"
"""The folder of an import until it is complete. It has no folders in it, so BentoML sees a model without
versions."""


@dataclass(frozen=True)
class StoredModel:
    """A model as `text-classifier models` lists it."""

    tag: str
    created: datetime
    manifest: Manifest | None
    """None if it cannot be read."""


def save(folder: Path) -> str:
    """Copy an artifact into the store, where it becomes the latest of its name; returns its tag.

    The entry appears as a whole, by one rename; an incomplete entry is replaced. Imports that run at the same
    time wait for each other. Raises ArtifactError if the artifact is damaged or the store cannot be written.
    """
    artifact = read_artifact(folder)
    name, version = artifact.manifest.name, artifact.version
    store = _store()
    try:
        with _one_import_at_a_time(store):
            entry = store / name / version
            if not (_is_readable(entry) and holds(entry, artifact.digest)):
                _put(folder, artifact, entry)
            elif _latest(entry.parent) != version:
                # If the file "latest" is lost, BentoML uses the entry that was made last.
                _replace(entry / DESCRIPTION, _description(artifact.manifest, version))
            if _latest(entry.parent) != version:
                _replace(entry.parent / LATEST, version)
    except OSError as error:
        raise ArtifactError(f"the BentoML model store {store} cannot be written: {error.strerror}") from error
    return f"{name}:{version}"


def put_bundled_model(model: ModelSettings) -> str | None:
    """Save the model that comes with the project if the settings name it and the store lacks this version.

    Returns the tag if it was saved; then it is the latest model of its name. Raises ArtifactError.
    """
    return save_if_missing(BUNDLED_MODEL) if _names_bundled_model(model) else None


def put_bundled_model_if_none(model: ModelSettings) -> None:
    """Save the model that comes with the project if the settings name it and the store has none for the tag.

    Another model with the same name stays the one that is served. Raises ArtifactError.
    """
    if _names_bundled_model(model):
        save_if_nothing_is_there(BUNDLED_MODEL, model.tag)


def _names_bundled_model(model: ModelSettings) -> bool:
    # A Bento does not have the folder of the bundled model, because its own store has the model.
    return model.name == BUNDLED_MODEL.name and BUNDLED_MODEL.exists()


def save_if_missing(folder: Path) -> str | None:
    """Save an artifact if the store does not have all of it; returns the tag if it was saved.

    An artifact that the store has does not become the latest again. Raises ArtifactError.
    """
    manifest = read_manifest(folder)
    digest = digest_of(folder)
    entry = _store() / manifest.name / version_of(digest)
    if _is_readable(entry) and holds(entry, digest) and _latest(entry.parent):
        return None
    return save(folder)


def save_if_nothing_is_there(folder: Path, tag: str) -> None:
    """Save an artifact if the store has nothing for a tag, or has only a part of this artifact for it.

    If the tag belongs to another model, nothing changes. Raises ArtifactError.
    """
    try:
        found = folder_of(tag)
    except ArtifactError:
        save(folder)
    else:
        if found.name == version_of(digest_of(folder)):
            save_if_missing(folder)


def _store() -> Path:
    """Return the folder of the store, for which BentoML has no public name.

    Raises ArtifactError if the folder cannot be made.
    """
    try:
        return BentoMLContainer.model_store.get()._path
    except OSError as error:  # BentoML makes its folders when the store is first used
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        raise ArtifactError(
            f"the BentoML home cannot be made: {reason}; "
            "the environment variable BENTOML_HOME names another folder"
        ) from error


@contextmanager
def _one_import_at_a_time(store: Path) -> Iterator[None]:
    """Hold the lock of the store, which the kernel releases if the process dies."""
    store.mkdir(parents=True, exist_ok=True)
    with (store / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _put(folder: Path, artifact: Artifact, entry: Path) -> None:
    """Make the entry of an artifact in another folder, then move it to its place."""
    staged = _store() / STAGED
    if staged.exists():  # an import was killed
        shutil.rmtree(staged)
    staged.mkdir()
    try:
        for file in (MANIFEST, *artifact.manifest.files):
            shutil.copyfile(folder / file, staged / file)
        (staged / DESCRIPTION).write_text(_description(artifact.manifest, artifact.version), encoding="utf-8")
        entry.parent.mkdir(exist_ok=True)
        if entry.exists():
            shutil.rmtree(entry)
        staged.rename(entry)
    except OSError:
        shutil.rmtree(staged, ignore_errors=True)
        raise


def _description(manifest: Manifest, version: str) -> str:
    """Return BentoML's description of an entry that is made now."""
    info = ModelInfo(
        tag=bentoml.Tag(manifest.name, version),
        module=MODULE,
        labels={"kind": manifest.model.kind},
        options={},
        metadata={},
        context=bentoml.models.ModelContext("", {}),
        signatures={},
        api_version="v1",
    )
    text: str = yaml.safe_dump(info.to_dict(), sort_keys=False)
    return text


def _replace(path: Path, text: str) -> None:
    """Replace the content of a file, by one rename."""
    new = _store() / NEW_FILE
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _latest(versions: Path) -> str | None:
    """Return the version that the file "latest" names, in the folder of a model's versions."""
    try:
        return (versions / LATEST).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None


def _model(entry: Path) -> bentoml.Model:
    """Return an entry as BentoML reads it; raises ArtifactError if BentoML cannot."""
    try:
        # This is read first because BentoML would also log what is wrong.
        yaml.safe_load((entry / DESCRIPTION).read_text(encoding="utf-8"))
        return bentoml.Model.from_path(entry)
    except Exception as error:  # YAML, cattrs and BentoML have a class for each fault
        reason = " ".join(str(error).split()) or repr(error)
        raise ArtifactError(f"{entry / DESCRIPTION} cannot be read: {reason}") from error


def _is_readable(entry: Path) -> bool:
    try:
        _model(entry)
    except ArtifactError:
        return False
    return True


def folder_of(tag: str) -> Path:
    """Return the folder of a stored artifact.

    Raises ArtifactError if the store has none for the tag, or if its entry cannot be read.
    """
    try:
        for entry in _candidates(bentoml.Tag.from_taglike(tag)):
            _model(entry)
        return Path(bentoml.models.get(tag).path)
    except (BentoMLException, ValueError, OSError) as error:
        stored = sorted(str(model.tag) for model in _ours())
        has = f"it has {', '.join(stored[:MAX_SHOWN_TAGS])}" if stored else "it is empty"
        raise ArtifactError(f"the BentoML model store has no model {tag!r}; {has}") from error


def _candidates(tag: bentoml.Tag) -> list[Path]:
    """Return the entries that BentoML reads to find a tag."""
    versions = _store() / tag.name
    version = tag.version if tag.version not in {None, LATEST} else _latest(versions)
    if version and (versions / version).is_dir():
        return [versions / version]
    return [path for path in versions.glob("*") if path.is_dir()]


def _ours() -> list[bentoml.Model]:
    """Return the models of the store that are artifacts, newest first."""
    entries = (path for path in _store().glob("*/*") if path.is_dir() and _is_readable(path))
    models = [model for model in map(_model, entries) if model.info.module == MODULE]
    return sorted(models, key=lambda model: model.info.creation_time, reverse=True)


def stored_models() -> list[StoredModel]:
    """Return all artifacts in the store, newest first."""
    return [
        StoredModel(str(model.tag), model.info.creation_time, _manifest(Path(model.path)))
        for model in _ours()
    ]


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except ArtifactError:
        return None
