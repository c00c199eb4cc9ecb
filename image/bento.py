"""The Bento: the service of this checkout with a model of the store, as `bentoml build` makes it."""

import atexit
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import bentoml
from bentoml._internal.bento.bento import BentoStore
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml.exceptions import NotFound
from bentoml.images import Image

import model_store
from classifier.artifact import Artifact, read_artifact
from classifier.errors import ClassifierError
from classifier.runtimes import RUNTIMES, runtime_of
from classifier.settings import ModelSettings, load_settings
from image.labels import COMMIT, MODEL, MODEL_DIGEST

ROOT = Path(__file__).parents[1]
NAME = "text-classifier"
BASE_IMAGE = "python:3.11-slim-bookworm"

WITHOUT_COMPILERS = "none"
"""A distribution that BentoML does not know. For one that it knows, it installs compilers and git."""

MAKE_STORE = "bentoml models list"
"""Makes the folders of BentoML's store, because a container with a read-only root cannot make them."""


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


@dataclass(frozen=True)
class Contents:
    """What a Bento contains that its commit and its model decide."""

    commit: Commit
    artifact: Artifact
    gpu: bool
    """Whether the packages are those for networks on a GPU."""

    @classmethod
    def of_checkout(cls, model: ModelSettings, gpu: bool) -> Self:
        """What a Bento built now would contain; raises ClassifierError."""
        return cls(checked_out(), read_artifact(model_store.folder_of(model.tag)), gpu)

    @property
    def version(self) -> str:
        """The Bento's version."""
        return f"{self.commit.version}-{self.artifact.version}" + ("-gpu" if self.gpu else "")

    @property
    def service_options(self) -> dict[str, Any]:
        """Options of `bentoml.service` that `bentoml build` reads; raises BuildError."""
        manifest, artifact = self.artifact.manifest, self.artifact
        requirements = lock_file(manifest.model.kind, self.gpu).read_text(encoding="utf-8")
        return {
            "image": Image(
                base_image=BASE_IMAGE,
                distro=WITHOUT_COMPILERS,
                lock_python_packages=False,  # the lock files are locked, with hashes
                python_requirements=requirements,
                post_commands=[MAKE_STORE],
            ),
            "labels": {
                COMMIT: self.commit.digest,
                MODEL: f"{manifest.name}:{artifact.version}",
                MODEL_DIGEST: artifact.digest,
            },
        }


def lock_file(kind: str, gpu: bool) -> Path:
    """The file with the packages that this kind of model needs; raises BuildError if there is none."""
    runtime = runtime_of(kind)
    lock = runtime.gpu_lock_file if gpu else runtime.lock_file
    if lock is None:
        networks = ", ".join(name for name, each in RUNTIMES.items() if each.gpu_lock_file is not None)
        raise BuildError(f"the model is {kind}, and only networks ({networks}) can run on a GPU")
    return ROOT / lock


def prepare_build(model: ModelSettings, gpu: bool) -> dict[str, Any]:
    """Return the options of `bentoml.service` for the Bento that BentoML is about to build in this process.

    BentoML gives a Bento a random version, refuses one that the store has already, and leaves the folder of a
    build that fails in its temporary folder. After this call, the version names the commit and the model, a
    Bento of that version is replaced when the new one is complete, no folder is left, and builds that run at
    the same time wait for each other. Raises ClassifierError.
    """
    contents = Contents.of_checkout(model, gpu)
    options = contents.service_options
    try:
        _wait_for_other_builds()
        _build_in_a_temporary_folder()
    except OSError as error:
        raise BuildError(
            f"the BentoML home cannot be written: {error.filename}: {error.strerror}; "
            "the environment variable BENTOML_HOME names another folder"
        ) from error
    _name_the_build(bentoml.Tag(NAME, contents.version))
    return options


def _wait_for_other_builds() -> None:
    """Take the lock of the store, which the kernel releases when this process ends."""
    store = os.open(BentoMLContainer.bento_store_dir.get(), os.O_RDONLY)
    fcntl.flock(store, fcntl.LOCK_EX)


def _build_in_a_temporary_folder() -> None:
    """Make BentoML build in a folder that is removed when the process ends, also by SIGTERM or SIGHUP."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    temporary = tempfile.TemporaryDirectory(dir=BentoMLContainer.tmp_bento_store_dir.get())
    atexit.register(temporary.cleanup)
    BentoMLContainer.tmp_bento_store_dir.set(temporary.name)


def _name_the_build(ours: bentoml.Tag) -> None:
    """Give the Bento its tag, and let it replace an earlier one. Bentos of other services stay as they are.

    The earlier one is moved aside while BentoML copies the complete new one to its place.
    """
    random_version, register = bentoml.Tag.make_new_version, BentoStore.register

    def make_new_version(tag: bentoml.Tag) -> bentoml.Tag:
        return ours if tag.name == NAME else random_version(tag)

    @contextmanager
    def replace(store: BentoStore, tag: bentoml.Tag) -> Iterator[str]:
        entry = Path(store._path) / tag.path()
        earlier = entry.with_name(f"{entry.name}.replaced")
        if tag != ours or not entry.exists():
            with register(store, tag) as folder:
                yield folder
            return
        shutil.rmtree(earlier, ignore_errors=True)  # A build was killed here.
        entry.rename(earlier)
        try:
            with register(store, tag) as folder:
                yield folder
        except BaseException:
            shutil.rmtree(entry, ignore_errors=True)
            earlier.rename(entry)
            raise
        shutil.rmtree(earlier)

    bentoml.Tag.make_new_version = make_new_version  # type: ignore[method-assign, assignment]
    BentoStore.register = replace  # type: ignore[method-assign, assignment]


def build_bento(gpu: bool = False) -> bentoml.Bento:
    """Run `bentoml build`, or return the Bento that it already built from this commit and this model.

    Raises ClassifierError.
    """
    model = load_settings().model
    model_store.put_bundled_model(model)
    contents = Contents.of_checkout(model, gpu)
    stored = _stored(f"{NAME}:{contents.version}")
    if stored is not None and not contents.commit.is_changed:
        return stored
    command = ["build", "--output", "tag", *(["--arg", "gpu=true"] if gpu else [])]
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", *command],
        cwd=ROOT,  # BentoML reads no file outside of the working folder.
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    built = re.search(r"__tag__:(\S+)", done.stdout)
    if done.returncode or built is None:
        raise BuildError(f"`bentoml build` ended with {done.returncode}, for the reason above")
    return bentoml.bentos.get(built[1])


def _stored(tag: str) -> bentoml.Bento | None:
    try:
        return bentoml.bentos.get(tag)
    except NotFound:
        return None
