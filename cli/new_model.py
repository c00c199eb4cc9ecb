"""What `train` and `import` do with the model that they made: name it, save it and say what to do next."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import out

if TYPE_CHECKING:
    from classifier.artifact import Artifact


def check_name(name: str | None) -> str | None:
    """Refuse a name that the settings would refuse, before any training."""
    if name is not None:
        from pydantic import ValidationError

        from classifier.settings import ModelSettings
        from classifier.validation import first_error

        try:
            ModelSettings(name=name)
        except ValidationError as error:
            raise typer.BadParameter(f"{name!r}: {first_error(error).rule}") from error
    return name


Name = Annotated[
    str, typer.Option(help="Name of the model in the store.", callback=check_name, show_default=False)
]
Output = Annotated[
    Path | None, typer.Option(help="Folder to write the artifact to as well.", show_default=False)
]


def save(artifact: "Artifact", output: Path | None) -> str:
    """Write an artifact, load it as the service does, and put it into the store; returns the tag."""
    import model_store
    from classifier.artifact import write_artifact
    from classifier.pipeline import load_classifier

    with tempfile.TemporaryDirectory() as scratch:
        folder = output or Path(scratch)
        write_artifact(artifact, folder)
        load_classifier(folder)
        return model_store.save(folder)


def say_reference(artifact: "Artifact", texts: str) -> None:
    """Say whether the model has a reference for drift, or else which texts it needs."""
    from classifier.drift.reference import MIN_REFERENCE_TEXTS

    reference = artifact.manifest.reference
    if reference is None:
        out.print(f"no reference for drift: it needs at least {MIN_REFERENCE_TEXTS} {texts}")
    else:
        out.print(f"reference for drift: {reference.texts:,} texts")


def serve_hint(tag: str) -> None:
    """Say how the model is served."""
    name, _, version = tag.partition(":")
    out.print(
        f"serve it: CLASSIFIER__MODEL__NAME={name} CLASSIFIER__MODEL__VERSION={version} make serve",
        soft_wrap=True,
    )
