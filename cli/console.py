"""The consoles that commands print to, and a constructor for groups of commands."""

import typer
from rich.console import Console

out = Console(soft_wrap=True)
err = Console(stderr=True)


def new_app() -> typer.Typer:
    """Make an empty group of commands."""
    return typer.Typer(rich_markup_mode="markdown", no_args_is_help=True)
