"""The model that the settings name, loaded and checked."""

import os
from pathlib import Path

import structlog

import model_store
from classifier.pipeline import Classifier, load_classifier
from classifier.settings import Settings

CHECKED_BY = "_CLASSIFIER_MODEL_CHECKED_BY"

_log = structlog.get_logger("classifier.model")


def check_model(settings: Settings) -> None:
    """Load the model once before anything starts; raises ArtifactError, which says what is wrong.

    If the settings name the bundled model and the store has none of that name, it is put there first, so that
    `bentoml serve` and `bentoml build` work in a fresh clone.
    BentoML imports the service in its parent process, then in each worker. A worker that fails is started
    again and again, each time with a stack trace, so it is the parent that must find the fault.
    """
    if os.environ.get(CHECKED_BY) == str(os.getppid()):
        return
    model_store.put_bundled_model(settings.model)
    load_classifier(model_store.folder_of(settings.model.tag))
    os.environ[CHECKED_BY] = str(os.getpid())


def load_model(folder: Path, settings: Settings) -> Classifier:
    """Load the model that will answer; raises ArtifactError."""
    classifier = load_classifier(folder, settings.inference.batch_size)
    manifest = classifier.manifest
    _log.info(
        "model_loaded",
        name=manifest.name,
        version=classifier.version,
        kind=manifest.model.kind,
        device=classifier.device,
    )
    return classifier
