"""The container image of a Bento, made by `bentoml containerize` with podman or docker."""

import re
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import bentoml
import bentoml.container
from bentoml.exceptions import BentoMLException

from classifier import __version__
from image.bento import BASE_IMAGE, NAME, BuildError
from image.labels import (
    COMMIT,
    IMAGE_BENTO,
    IMAGE_COMMIT,
    IMAGE_MODEL,
    IMAGE_MODEL_DIGEST,
    MODEL,
    MODEL_DIGEST,
)

Engine = Literal["podman", "docker"]

USER = "10001"
"""The user of the container. BentoML has 1034, which may be a user of the host and which linters refuse."""


@dataclass(frozen=True)
class Image:
    """An image in the local store of an engine."""

    name: str
    """Repository and tag."""
    layers: tuple[tuple[str, float], ...]
    """The command and the uncompressed bytes (to three digits) of each layer. The base image's come first."""

    @property
    def size(self) -> float:
        """Uncompressed bytes of all layers."""
        return sum(size for _, size in self.layers)


def image_name(bento: bentoml.Bento) -> str:
    """The name of a Bento's image."""
    return f"{NAME}:{bento.tag.version}"


def build_image(bento: bentoml.Bento, engine: Engine, alias: str) -> Image:
    """Make the image of a Bento, with `alias` as a second name; raises BuildError if the engine fails."""
    name = image_name(bento)
    labels = bento.info.labels
    values = {
        "org.opencontainers.image.title": NAME,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": __version__,
        IMAGE_COMMIT: labels[COMMIT],
        IMAGE_BENTO: str(bento.tag),
        IMAGE_MODEL: labels[MODEL],
        IMAGE_MODEL_DIGEST: labels[MODEL_DIGEST],
    }
    replaced = _ids(engine, name, alias)
    try:
        output = bentoml.container.build(
            bento.tag,
            engine,  # type: ignore[arg-type]
            image_tag=(name, alias),
            label=values,
            build_arg={"BENTO_USER_UID": USER, "BENTO_USER_GID": USER},
        )
    except BentoMLException as error:
        raise BuildError(f"{engine} could not make {name}: {error}") from error
    if output is None:  # BentoML logs the reason and raises nothing.
        raise BuildError(f"{engine} could not make {name}, for the reason above")
    for image in replaced - _ids(engine, name):
        _remove_if_nameless(engine, image)
    return inspect(name, engine)


def _ids(engine: Engine, *names: str) -> set[str]:
    """The ids of the images that have these names."""
    return {
        image for name in names for image in _run(engine, "images", "--quiet", "--no-trunc", name).split()
    }


def _remove_if_nameless(engine: Engine, image: str) -> None:
    """Remove an image that lost its last name. An image that a container still uses stays."""
    if _run(engine, "image", "inspect", "--format", "{{len .RepoTags}}", image).strip() == "0":
        with suppress(BuildError):
            _run(engine, "rmi", image)


@dataclass(frozen=True)
class Target:
    """The repository and tag that an image is pushed to."""

    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Parse `repository:tag`; raises BuildError if the text is anything else."""
        repository, _, tag = text.rpartition(":")
        if not repository or "/" in tag:
            raise BuildError(f"{text!r} is not a repository with a tag, such as localhost:5000/{NAME}:1")
        return cls(repository, tag)

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def push_image(name: str, to: Target, engine: Engine) -> str:
    """Push a local image; returns its reference by digest.

    TLS is not used for a registry on this machine. Raises BuildError if the engine fails.
    """
    target = str(to)
    _run(engine, "tag", name, target)
    if engine == "docker":  # docker itself uses no TLS for registries on this machine
        digest = re.findall(r"digest: (sha256:[0-9a-f]{64})", _run(engine, "push", target))[-1]
    else:
        is_local = re.match(r"(localhost|127\.0\.0\.1)[:/]", target)
        without_tls = ["--tls-verify=false"] if is_local else []
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "digest"
            _run(engine, "push", *without_tls, f"--digestfile={written}", target)
            digest = written.read_text(encoding="ascii")
    return f"{to.repository}@{digest}"


def base_image(engine: Engine) -> Image:
    """The base image of Bento images. It is pulled if the engine does not have it."""
    try:
        return inspect(BASE_IMAGE, engine)
    except BuildError:
        subprocess.run([engine, "pull", "--quiet", BASE_IMAGE], capture_output=True, check=False)
        return inspect(BASE_IMAGE, engine)


def inspect(name: str, engine: Engine) -> Image:
    """An image of the local store; raises BuildError if it is not there."""
    history = _run(engine, "history", "--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}", name)
    lines = [line.partition("\t") for line in reversed(history.splitlines())]
    return Image(name, tuple((by, _bytes(size)) for size, _, by in lines))


def _run(engine: Engine, *arguments: str) -> str:
    try:
        done = subprocess.run([engine, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise BuildError(f"{engine} {arguments[0]}: {reason[-1].removeprefix('Error: ')}") from error
    return done.stdout


def _bytes(size: str) -> float:
    """Bytes from `173 MB` or `173MB`, which engines write."""
    unit = size.lstrip("0123456789. ")
    return float(size.removesuffix(unit)) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
