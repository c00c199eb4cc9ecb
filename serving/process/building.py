"""Tells whether the service is imported to be built into a Bento."""

import bentoml
import click
from pydantic import BaseModel, ConfigDict


class BuildArguments(BaseModel):
    """What `bentoml build --arg NAME=VALUE` can give."""

    model_config = ConfigDict(extra="forbid")

    gpu: bool = False
    """Whether the image is for networks on a GPU."""


def build_arguments() -> BuildArguments | None:
    """The arguments of the `bentoml build` that imports the service; None if something else imports it."""
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "build":
        return None
    return bentoml.use_arguments(BuildArguments)
