"""The container image of a Bento, made by `bentoml containerize` in podman or docker."""

import contextlib
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import bentoml
import bentoml.container
from bentoml.exceptions import BentoMLException

from classifier import __version__
from image.bento import BuildError, bentofile

Engine = Literal["podman", "docker"]

NAME = "text-classifier"


@dataclass(frozen=True)
class Image:
    """An image in an engine's local store."""

    name: str
    """With its tag."""
    layers: tuple[tuple[str, float], ...]
    """What made each layer, and its uncompressed bytes, to three digits; the base image's first."""

    @property
    def size(self) -> float:
        """Uncompressed bytes."""
        return sum(size for _, size in self.layers)


def image_name(bento: bentoml.Bento) -> str:
    """What the image of a Bento is called."""
    return f"{NAME}:{bento.tag.version}"


def build_image(bento: bentoml.Bento, engine: Engine, alias: str) -> Image:
    """Make the image of a Bento, which gets a second name, too; raises BuildError where the engine fails."""
    name = image_name(bento)
    labels = bento.info.labels
    values = {
        "org.opencontainers.image.title": NAME,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": __version__,
        "org.opencontainers.image.revision": labels["commit"],
        "text-classifier.bento": str(bento.tag),
        "text-classifier.model": labels["model"],
        "text-classifier.model-digest": labels["model-digest"],
    }
    # A HEALTHCHECK is no part of OCI's format, which is podman's default.
    options = {"format": "docker"} if engine == "podman" else {}
    try:
        # BentoML takes the template from a copy in the temporary folder, and only from below where it runs.
        with contextlib.chdir(tempfile.gettempdir()):
            output = bentoml.container.build(  # type: ignore[call-overload]
                bento.tag, engine, image_tag=(name, alias), label=values, **options
            )
    except BentoMLException as error:
        raise BuildError(f"{engine} could not make {name}: {error}") from error
    if output is None:  # BentoML logs why, and goes on
        raise BuildError(f"{engine} could not make {name}, for the reason above")
    return inspect(name, engine)


@dataclass(frozen=True)
class Target:
    """Where an image is pushed to."""

    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """From `repository:tag`; raises BuildError where it is none."""
        repository, _, tag = text.rpartition(":")
        if not repository or "/" in tag:
            raise BuildError(f"{text!r} is no repository with a tag, such as localhost:5000/{NAME}:1")
        return cls(repository, tag)

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def push_image(name: str, to: Target, engine: Engine) -> str:
    """Push an image that is there; returns its reference by digest.

    A registry on this machine is asked without TLS. Raises BuildError where the engine fails.
    """
    target = str(to)
    _run(engine, "tag", name, target)
    if engine == "docker":  # it knows which registries are on this machine
        digest = re.findall(r"digest: (sha256:[0-9a-f]{64})", _run(engine, "push", target))[-1]
    else:
        is_here = re.match(r"(localhost|127\.0\.0\.1)[:/]", target)
        plainly = ["--tls-verify=false"] if is_here else []
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "digest"
            _run(engine, "push", *plainly, f"--digestfile={written}", target)
            digest = written.read_text(encoding="ascii")
    return f"{to.repository}@{digest}"


def base_image(engine: Engine) -> Image:
    """The image that a Bento's is made on; it is pulled where the engine has not kept it."""
    name = bentofile()["docker"]["base_image"]
    try:
        return inspect(name, engine)
    except BuildError:
        subprocess.run([engine, "pull", "--quiet", name], capture_output=True, check=False)
        return inspect(name, engine)


def inspect(name: str, engine: Engine) -> Image:
    """An image that is there; raises BuildError where it is not."""
    history = _run(engine, "history", "--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}", name)
    lines = [line.partition("\t") for line in reversed(history.splitlines())]
    return Image(name, tuple((by, _bytes(size)) for size, _, by in lines))


def _run(engine: Engine, *arguments: str) -> str:
    try:
        done = subprocess.run([engine, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise BuildError(f"{engine} {arguments[0]}: {said[-1].removeprefix('Error: ')}") from error
    return done.stdout


def _bytes(size: str) -> float:
    """`173 MB` or `173MB`, as engines write it."""
    unit = size.lstrip("0123456789. ")
    return float(size.removesuffix(unit)) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
