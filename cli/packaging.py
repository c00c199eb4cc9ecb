"""Commands that build the Bento and its container image, and that audit their packages."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.console import new_app
from cli.options import given

MEGABYTE = 1e6
MAX_SHOWN_CHARACTERS = 60

EngineOption = Annotated[Literal["podman", "docker"], typer.Option("--engine", help="Container engine.")]
Gpu = Annotated[bool, typer.Option("--gpu", help="Use the lock file for networks on a GPU.")]

app = new_app()


@app.command(epilog="Example: `text-classifier bento`")
def bento(gpu: Gpu = False) -> None:
    """Build the Bento of this commit with the model that the settings name, and print its tag."""
    from image.bento import build_bento

    typer.echo(build_bento(gpu).tag)


@app.command(epilog="Example: `text-classifier image --engine docker`")
def image(
    engine: EngineOption = "podman",
    gpu: Gpu = False,
    alias: Annotated[
        str, typer.Option(help="A second name for the image. The next image gets it instead.")
    ] = "text-classifier:local",
    output: Annotated[Path, typer.Option(help="Folder for the bill of materials.")] = Path("reports/image"),
) -> None:
    """Make the container image of this commit, print its layers, and write a bill of materials."""
    from image.bento import build_bento
    from image.engine import base_image, build_image
    from image.sbom import write_bill

    built = build_bento(gpu)
    made = build_image(built, engine, alias)
    for by, size in made.layers:
        if size:
            typer.echo(f"{size / MEGABYTE:8.1f} MB  {by[:MAX_SHOWN_CHARACTERS]}")
    base = base_image(engine)
    more = made.size - base.size
    typer.echo(f"{made.size / MEGABYTE:8.1f} MB in total, {more / MEGABYTE:.1f} MB more than {base.name}")
    typer.echo(f"bill of materials: {write_bill(built, output)}")
    typer.echo(made.name)


@app.command(epilog="Example: `text-classifier push registry.example.com/text-classifier:1`")
def push(
    target: Annotated[
        str,
        typer.Argument(
            help="Repository and tag to push to, as in `registry.example.com/classifier:1`.", callback=given
        ),
    ],
    image: Annotated[
        str | None,
        typer.Option(help="Image to push. Default: the image of this commit and model.", show_default=False),
    ] = None,
    engine: EngineOption = "podman",
    gpu: Gpu = False,
) -> None:
    """Push an image to a registry, and print its reference by digest, which manifests can name."""
    from image.bento import BuildError, build_bento
    from image.engine import Target, image_name, inspect, push_image

    to = Target.parse(target)
    if image is None:
        image = image_name(build_bento(gpu))
        try:
            inspect(image, engine)
        except BuildError as error:
            raise BuildError(f"{error}; `make image` makes the image of this commit and model") from error
    typer.echo(push_image(image, to, engine))


@app.command(epilog="Example: `text-classifier audit`")
def audit() -> None:
    """Check every locked package that an image can contain against known vulnerabilities."""
    from image.audit import audit as audit_locks

    typer.echo(f"{audit_locks()} packages audited, no known vulnerability")
