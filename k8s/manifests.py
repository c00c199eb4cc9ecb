"""The manifests of an environment as the options of a command change them."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from k8s.environment.canary import canary_shares
from k8s.environment.loading import ENVIRONMENTS_PATH, load_environment
from k8s.environment.release import contents_of
from k8s.environment.sections import Environment
from k8s.errors import StaleManifests
from k8s.rendering import render, replace_folder, stale_files

COMMAND = ("text-classifier", "manifests")
DEFAULT_WEIGHT = 10


@dataclass(frozen=True)
class Options:
    """What changes an environment without editing its file."""

    image: str | None = None
    """repository:tag or repository@sha256:digest."""
    bento: str | None = None
    """The Bento that the image must have been made from."""
    canary: str | None = None
    """Tag or digest of the canary's image."""
    weight: int | None = None
    """The canary's share of the requests, in percent; None means `DEFAULT_WEIGHT`."""
    environments: Path = ENVIRONMENTS_PATH

    @property
    def has_other_environments(self) -> bool:
        """Whether the environments come from another file than the project's."""
        return self.environments.resolve() != ENVIRONMENTS_PATH.resolve()

    @property
    def for_one(self) -> dict[str, str]:
        """The options that are meant for a single environment, as words of the command line."""
        given = {
            "--image": self.image,
            "--bento": self.bento,
            "--canary": self.canary,
            "--weight": self.weight,
        }
        return {option: str(value) for option, value in given.items() if value is not None}

    @property
    def names_image(self) -> bool:
        """Whether the image of the environment is not the one that its file describes."""
        return self.image is not None or self.bento is not None

    @property
    def overrides(self) -> dict[str, Any]:
        """The sections that override the environment's."""
        overrides: dict[str, Any] = {}
        if self.image is not None:
            overrides["image"] = {"reference": self.image}
        if self.names_image:
            overrides["release"] = None  # Only the image, or its Bento, says what it contains.
        if self.canary is not None:
            weight = DEFAULT_WEIGHT if self.weight is None else self.weight
            overrides["canary"] = {"version": self.canary, "weight": weight}
        return overrides


@dataclass(frozen=True)
class Manifests:
    """The rendered files of one environment."""

    name: str
    """The environment's name, which is also its folder's."""
    environment: Environment
    command: str
    """The command that renders them again."""
    files: Mapping[str, str]
    remarks: tuple[str, ...]
    """Sentences about the contents of the images, for the person who deploys."""

    def write(self, out: Path) -> str:
        """Replace the environment's folder in `out`; returns a line that says so. Raises UnwritableFolder."""
        replace_folder(out / self.name, self.files)
        return f"{_shown(out / self.name)}: {len(self.files)} files{_canary_remark(self.environment)}"


def render_environment(name: str, options: Options) -> Manifests:
    """Render one environment; raises InvalidEnvironment, WrongImage and UnknownBento."""
    environment = load_environment(name, options.overrides, options.environments)
    overrides, base, remarks = options.overrides, {}, []
    stable, *canaries = environment.images
    if options.names_image:
        contents = contents_of(stable, options.bento)
        remarks.append(contents.remark)
        if contents.release:
            overrides["release"] = contents.release
            # The image contains one model and its variables name it, whatever config.yaml names.
            base = {"config": {"model": {"name": contents.release["model"].partition(":")[0]}}}
    if options.canary is not None:
        contents = contents_of(canaries[0], None)
        remarks.append(contents.remark)
        overrides["canary"]["release"] = contents.release
    environment = load_environment(name, overrides, options.environments, base)
    words = dict(options.for_one)
    if options.has_other_environments:
        words["--environments"] = str(options.environments)
    command = shlex.join([*COMMAND, "--env", name, *chain.from_iterable(words.items())])
    return Manifests(name, environment, command, render(environment, command), tuple(remarks))


def check(rendered: Iterable[Manifests], out: Path) -> None:
    """Raise StaleManifests if a folder in `out` differs from what was rendered."""
    stale = [
        f"{_shown(out / one.name)} is stale: {', '.join(differences)}; `{one.command}` renders it again"
        for one in rendered
        if (differences := stale_files(out / one.name, one.files))
    ]
    if stale:
        raise StaleManifests("\n".join(stale))


def _canary_remark(environment: Environment) -> str:
    if environment.canary is None:
        return ""
    with_fewest, with_most = (f"{float(share):.0%}" for share in canary_shares(environment))
    return (
        f"; the canary receives {with_fewest} of the requests with the fewest stable pods and "
        f"{with_most} with the most"
    )


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
