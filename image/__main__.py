"""`python -m image`: the Bento of this checkout, its container image, and what both hold."""

from pathlib import Path
from typing import Annotated

import typer

from classifier.errors import ClassifierError
from image.bento import BuildError, build_bento
from image.bill import audit as audit_locks
from image.bill import write_bill
from image.engine import NAME, Engine, Target, base_image, build_image, image_name, inspect, push_image

MEGABYTE = 1e6
SHOWN_CHARACTERS = 60

EngineOption = Annotated[Engine, typer.Option("--engine", help="podman or docker.")]
Gpu = Annotated[bool, typer.Option("--gpu", help="With the lock file for networks on a GPU.")]

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def bento(gpu: Gpu = False) -> None:
    """Build the Bento of this commit with the model that the settings name, and print its tag."""
    typer.echo(build_bento(gpu).tag)


@app.command()
def build(
    engine: EngineOption = "podman",
    gpu: Gpu = False,
    alias: Annotated[
        str, typer.Option(help="A second name, which the next image takes over.")
    ] = f"{NAME}:local",
    output: Annotated[Path, typer.Option(help="Folder for the bill of materials.")] = Path("reports/image"),
) -> None:
    """Make the image of this commit, print its layers, and write a bill of materials beside it."""
    made = build_bento(gpu)
    image = build_image(made, engine, alias)
    for by, size in image.layers:
        if size:
            typer.echo(f"{size / MEGABYTE:8.1f} MB  {by[:SHOWN_CHARACTERS]}")
    base = base_image(engine)
    more = image.size - base.size
    typer.echo(f"{image.size / MEGABYTE:8.1f} MB in all, {more / MEGABYTE:.1f} MB more than {base.name}")
    typer.echo(f"bill of materials: {write_bill(made, output)}")
    typer.echo(image.name)


@app.command()
def push(
    target: Annotated[
        str, typer.Argument(help="Repository with a tag, as registry.example.com/classifier:1")
    ],
    image: Annotated[
        str | None,
        typer.Option(help="Default: what `build` made of this commit and model.", show_default=False),
    ] = None,
    engine: EngineOption = "podman",
    gpu: Gpu = False,
) -> None:
    """Push an image to a registry, and print the reference by digest, which manifests can name."""
    to = Target.parse(target)
    if image is None:
        image = image_name(build_bento(gpu))
        try:
            inspect(image, engine)
        except BuildError as error:
            raise BuildError(f"{error}; `make image` makes that of this commit and model") from error
    typer.echo(push_image(image, to, engine))


@app.command()
def audit() -> None:
    """Look every locked package that an image can hold up among known vulnerabilities."""
    typer.echo(f"{audit_locks()} packages audited, no known vulnerability")


def main() -> None:
    """Run a command; what cannot be done is told in one sentence."""
    try:
        app()
    except ClassifierError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
