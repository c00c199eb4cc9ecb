"""The commands by name. A command's module is imported when the command is used or listed."""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from classifier.errors import ClassifierError
from cli.plain import PROGRAM

MODULES = {
    "serve": "cli.service",
    "predict": "cli.predict",
    "train": "cli.train",
    "evaluate": "cli.evaluate",
    "drift": "cli.drift",
    "import": "cli.import_model",
    "models": "cli.models",
    "key": "cli.service",
    "bento": "cli.packaging",
    "image": "cli.packaging",
    "push": "cli.packaging",
    "audit": "cli.packaging",
    "monitoring": "cli.monitoring",
    "manifests": "cli.deployment",
    "deploy": "cli.deployment",
    "rollout-status": "cli.deployment",
    "canary": "cli.deployment",
    "promote": "cli.deployment",
    "abort": "cli.deployment",
    "rollback": "cli.deployment",
    "bench": "cli.bench",
}
"""The module of each command, in the order of the help. A module has its commands in `app`."""


class _Commands(Mapping[str, Any]):
    """The commands of `MODULES`, each imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        return get_group(import_module(MODULES[name]).app).commands[name]

    def __contains__(self, name: object) -> bool:
        return name in MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class _LazyGroup(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]  # nothing is added to it


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="`text-classifier COMMAND --help` explains a command and shows an example.",
)


@app.callback()
def _text_classifier() -> None:
    """Classify texts: serve a model, make one, package it, and deploy it to Kubernetes."""


def run() -> None:
    """Run the command line. What this project refuses is one sentence and exit code 1."""
    try:
        app(prog_name=PROGRAM)
    except ClassifierError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)
