"""The consoles that commands print to, and the form of a group of commands."""

import typer
from rich.console import Console

out = Console(soft_wrap=True)
err = Console(stderr=True)


def new_app() -> typer.Typer:
    """A new group, without any commands yet."""
    return typer.Typer(rich_markup_mode="markdown", no_args_is_help=True)
