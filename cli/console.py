"""What the commands print to, and what a group of commands looks like."""

import typer
from rich.console import Console

out = Console(soft_wrap=True)
err = Console(stderr=True)


def new_app() -> typer.Typer:
    """A group of commands, to be filled."""
    return typer.Typer(rich_markup_mode="markdown", no_args_is_help=True)
