"""Loads the model that the settings name."""

import os
from pathlib import Path

import bentoml
import structlog
import yaml

import model_store
from classifier.pipeline import Classifier, load_classifier
from classifier.settings import ENV_PREFIX, ModelSettings, Settings

_MODEL_VARIABLES = f"{ENV_PREFIX}MODEL__"

_log = structlog.get_logger("classifier.model")


def with_model_of_bento(settings: Settings, source: Path, service: str) -> Settings:
    """The settings with the model that the Bento was built with, if `source` is the code in a Bento.

    Otherwise a Bento would serve what `config.yaml` names, in the newest version that this machine has. An
    environment variable can still name another model.
    """
    description = source.parent / "bento.yaml"
    if source.name != "src" or not description.exists():
        return settings
    if any(name.startswith(_MODEL_VARIABLES) for name in os.environ):
        return settings
    content = yaml.load(description.read_text(encoding="utf-8"), yaml.CSafeLoader)
    (found,) = (each["models"] for each in content["services"] if each["name"] == service)
    name, _, version = found[0]["tag"].partition(":")
    return settings.model_copy(update={"model": ModelSettings(name=name, version=version)})


def check_model(settings: Settings) -> None:
    """Load the model once before anything starts, to see whether that works; raises ArtifactError.

    BentoML imports the service in its parent process first and then in each worker. A worker that fails is
    started again and again, each time with a stack trace, so the parent must notice a broken model first.

    If the settings name the bundled model and the store does not have it, it is saved there first, so that
    `bentoml serve` and `bentoml build` work in a fresh clone.
    """
    if bentoml.server_context.worker_index is not None:
        return
    model_store.put_bundled_model(settings.model)
    load_classifier(model_store.folder_of(settings.model.tag))


def load_model(folder: Path, settings: Settings) -> Classifier:
    """Load the model for serving; raises ArtifactError."""
    classifier = load_classifier(folder, settings.inference.batch_size, settings.runtime.threads)
    manifest = classifier.manifest
    _log.info(
        "model_loaded",
        name=manifest.name,
        version=classifier.version,
        kind=manifest.model.kind,
        device=classifier.device,
    )
    return classifier
