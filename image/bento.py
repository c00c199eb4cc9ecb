"""The Bento: the service of this checkout with a model of the store."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
import yaml
from bentoml.exceptions import NotFound

import model_store
from classifier.artifact import read_artifact
from classifier.errors import ClassifierError
from classifier.runtimes import runtime_of
from classifier.settings import load_settings
from image.labels import COMMIT, MODEL, MODEL_DIGEST

ROOT = Path(__file__).parents[1]
BENTOFILE = ROOT / "bentofile.yaml"


class BuildError(ClassifierError):
    """The Bento or the image cannot be made."""


@dataclass(frozen=True)
class Commit:
    """The commit that is checked out."""

    digest: str
    is_changed: bool
    """Whether files of the checkout differ from the commit."""

    @property
    def version(self) -> str:
        """A short name of the commit, for tags."""
        return self.digest[:12] + ("-changed" if self.is_changed else "")


def checked_out() -> Commit:
    """Return the commit of this checkout; raises BuildError if there is none."""
    return Commit(_git("rev-parse", "HEAD"), bool(_git("status", "--porcelain")))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise BuildError(
            f"a Bento is named after its commit, and git finds none: {reason}".strip()
        ) from error
    return done.stdout.strip()


def build_bento(gpu: bool = False) -> bentoml.Bento:
    """Build the Bento with the model that the settings name, or return the one already built from both.

    The bundled model is put into the store if it is missing. Labels name the commit, the model and the
    model's digest. Raises ClassifierError.
    """
    model = load_settings().model
    model_store.put_bundled_model(model)
    folder = model_store.folder_of(model.tag)
    artifact = read_artifact(folder)
    commit = checked_out()
    version = f"{commit.version}-{artifact.version}" + ("-gpu" if gpu else "")
    config = config_for(artifact.manifest.model.kind, gpu)
    config["docker"]["env"] = {
        "CLASSIFIER__MODEL__NAME": artifact.manifest.name,
        "CLASSIFIER__MODEL__VERSION": artifact.version,
    }
    labels = {
        COMMIT: commit.digest,
        MODEL: f"{artifact.manifest.name}:{artifact.version}",
        MODEL_DIGEST: artifact.digest,
    }
    stored = _stored(f"{config['name']}:{version}")
    if stored is not None:
        if not commit.is_changed:
            return stored
        bentoml.bentos.delete(stored.tag)
    return bentoml.bentos.build(**config, version=version, labels=labels, build_ctx=str(ROOT))


def bentofile() -> dict[str, Any]:
    """The content of `bentofile.yaml`."""
    content: dict[str, Any] = yaml.safe_load(BENTOFILE.read_text(encoding="utf-8"))
    return content


def config_for(kind: str, gpu: bool) -> dict[str, Any]:
    """`bentofile.yaml` with the lock file that this kind of model needs; raises BuildError if it has none."""
    runtime = runtime_of(kind)
    lock = runtime.gpu_lock_file if gpu else runtime.lock_file
    if lock is None:
        raise BuildError(f"the model is {kind}, and only networks (onnx) can run on a GPU")
    config = bentofile()
    light = config["python"]["requirements_txt"]
    config["include"] = [lock if name == light else name for name in config["include"]]
    config["python"]["requirements_txt"] = lock
    return config


def _stored(tag: str) -> bentoml.Bento | None:
    try:
        return bentoml.bentos.get(tag)
    except NotFound:
        return None
