"""The command line: render an environment's manifests, or check that the committed ones are not stale."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from classifier.errors import ClassifierError
from k8s.bentos import release_of
from k8s.canary import canary_shares
from k8s.environments import Environment
from k8s.errors import StaleManifests
from k8s.loading import ENVIRONMENTS_PATH, environment_names, load_environment
from k8s.render import RENDERED, render, replace_folder, stale_files

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)

_err = Console(stderr=True, soft_wrap=True)

DEFAULT_WEIGHT = 10


@app.callback()
def _manifests() -> None:
    """Generate the service's Kubernetes manifests from k8s/environments.yaml."""


@app.command(
    "render", epilog="Example: `python -m k8s render --env staging --image example.com/classifier:2`"
)
def render_environments(
    env: Annotated[str | None, typer.Option(help="Environment; default: all.", show_default=False)] = None,
    image: Annotated[
        str | None, typer.Option(help="Image to run, as repository:tag or repository@sha256:digest.")
    ] = None,
    bento: Annotated[
        str | None, typer.Option(help="Bento of the store that the image was made of, for labels.")
    ] = None,
    canary: Annotated[
        str | None, typer.Option(help="Tag or sha256:digest of the image that gets a part of the requests.")
    ] = None,
    weight: Annotated[int | None, typer.Option(help="Percent of the requests for the canary.")] = None,
    environments: Annotated[
        Path, typer.Option(help="File that describes the environments.", show_default="k8s/environments.yaml")
    ] = ENVIRONMENTS_PATH,
    out: Annotated[
        Path, typer.Option(help="Folder of the environments' folders.", show_default="k8s/rendered")
    ] = RENDERED,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 where a file is stale.")
    ] = False,
) -> None:
    """Render the manifests of an environment into a folder, for `kubectl apply -k`."""
    options = {"--image": image, "--bento": bento, "--canary": canary, "--weight": weight}
    given = {option: str(value) for option, value in options.items() if value is not None}
    if given and env is None:
        raise typer.BadParameter(f"{', '.join(given)}: for one environment alone, which --env names")
    if weight is not None and canary is None:
        raise typer.BadParameter("--weight is the part of a --canary, which is not given")
    if environments.resolve() != ENVIRONMENTS_PATH.resolve():
        if out.resolve() == RENDERED.resolve():
            raise typer.BadParameter(
                f"{RENDERED.name} holds the project's own environments; --out names another folder"
            )
        given["--environments"] = str(environments)
    over: dict[str, Any] = {}
    if image is not None:
        over["image"] = {"reference": image}
        over["release"] = None  # what it holds is not known, unless a Bento says it
    if bento is not None:
        over["release"] = release_of(bento)
    if canary is not None:
        over["canary"] = {"version": canary, "weight": DEFAULT_WEIGHT if weight is None else weight}
    names = environment_names(environments) if env is None else (env,)
    rendered = [_render(name, load_environment(name, over, environments), given) for name in names]
    if check:
        _check(rendered, out)
        return
    for each in rendered:
        replace_folder(out / each.name, each.files)
        _err.print(f"{_shown(out / each.name)}: {len(each.files)} files{each.remark}", highlight=False)


@dataclass(frozen=True)
class _Rendered:
    name: str
    command: str
    files: Mapping[str, str]
    remark: str


def _render(name: str, environment: Environment, given: Mapping[str, str]) -> _Rendered:
    words = ["--env", name, *chain.from_iterable(given.items())]
    command = shlex.join(["python", "-m", "k8s", "render", *words])
    return _Rendered(name, command, render(environment, command), _canary_remark(environment))


def _canary_remark(environment: Environment) -> str:
    if environment.canary is None:
        return ""
    most, least = (f"{float(share):.0%}" for share in canary_shares(environment))
    return f"; the canary gets {most} of the requests beside the fewest pods and {least} beside the most"


def _check(rendered: list[_Rendered], out: Path) -> None:
    stale = [
        f"{_shown(out / each.name)} is stale: {', '.join(differences)}; `{each.command}` renders it again"
        for each in rendered
        if (differences := stale_files(out / each.name, each.files))
    ]
    if stale:
        raise StaleManifests("\n".join(stale))


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def main() -> None:
    """Run the command line: exit code 0, 1 for what this project refuses, 2 for wrong usage."""
    try:
        app()
    except ClassifierError as error:
        _err.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
