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
from classifier.validation import listed

MODULE = "classifier"
"""The name in BentoML's descriptions that marks a model as an artifact of this project."""

MAX_SHOWN_TAGS = 10

HOW_TO_SAVE = (
    "`text-classifier import` saves a model there, and CLASSIFIER__MODEL__NAME or config.yaml names another"
)

DESCRIPTION = "model.yaml"
"""The file that BentoML keeps in each entry of the store."""
LATEST = "latest"
"""The file beside the versions of a model that names the latest one."""
LOCK = ".import-lock"
"""The file whose lock makes imports wait for each other."""
NEW_FILE = ".import-new"
"""The name of a file while it is written, before it replaces another one."""
STAGED = "classifier-import-in-progress"
"""The folder of an entry until it is complete. It contains no folders, so BentoML sees a model that has no
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
    """Save the bundled model if the settings name it and the store has no model at all for their tag.

    If the store has another model for the tag, such as a newer one of the same name, that one is served and
    nothing is saved. Returns the tag if the model was saved. Raises ArtifactError.
    """
    # A Bento does not have the folder of the bundled model, because its own store has the model.
    if model.name != BUNDLED_MODEL.name or not BUNDLED_MODEL.exists():
        return None
    return save_if_missing(BUNDLED_MODEL, model.tag)


def save_if_missing(folder: Path, tag: str) -> str | None:
    """Save an artifact if the store has no entry for a tag, or an incomplete entry of this artifact.

    If the tag names another model, nothing changes. Returns the tag with the version if the artifact was
    saved. Raises ArtifactError.
    """
    digest = digest_of(folder)
    try:
        entry = folder_of(tag)
    except ArtifactError:
        return save(folder)
    if entry.name != version_of(digest) or (holds(entry, digest) and _latest(entry.parent)):
        return None
    return save(folder)


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
        # This is read first because BentoML would log an error as well as raise it.
        yaml.safe_load((entry / DESCRIPTION).read_text(encoding="utf-8"))
        return bentoml.Model.from_path(entry)
    except Exception as error:  # YAML, cattrs and BentoML raise many classes of errors
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
        has = f"it has {listed(stored, MAX_SHOWN_TAGS)}" if stored else "it is empty"
        raise ArtifactError(f"the BentoML model store has no model {tag!r}; {has}; {HOW_TO_SAVE}") from error


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
