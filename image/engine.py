"""The container image of a Bento, made by `bentoml containerize` in podman or docker."""

import contextlib
import subprocess
import tempfile
from dataclasses import dataclass
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


def build_image(bento: bentoml.Bento, engine: Engine) -> Image:
    """Make the image `text-classifier:<the Bento's version>`, also named `:local`.

    Raises BuildError where the engine fails.
    """
    name = f"{NAME}:{bento.tag.version}"
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
            bentoml.container.build(  # type: ignore[call-overload]
                bento.tag, engine, image_tag=(name, f"{NAME}:local"), label=values, **options
            )
    except (subprocess.CalledProcessError, BentoMLException) as error:
        raise BuildError(f"{engine} could not make {name}: {error}") from error
    return inspect(name, engine)


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
    command = [engine, "history", "--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        raise BuildError(f"{engine} has no image {name}: {said}") from error
    lines = [line.partition("\t") for line in reversed(done.stdout.splitlines())]
    return Image(name, tuple((by, _bytes(size)) for size, _, by in lines))


def _bytes(size: str) -> float:
    """`173 MB` or `173MB`, as engines write it."""
    unit = size.lstrip("0123456789. ")
    return float(size.removesuffix(unit)) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
