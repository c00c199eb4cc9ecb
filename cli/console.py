"""The consoles that commands print to, and a constructor for groups of commands."""

import typer
from rich.console import Console

out = Console(soft_wrap=True)
err = Console(stderr=True)


def fitted(line: str, width: int) -> str:
    """The line, or its beginning with "…" behind it, so that it has at most `width` characters."""
    return line if len(line) <= width else line[: width - 1] + "…"


def harmless(text: str) -> str:
    """The same number of characters, with a space for each one that could control a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def new_app() -> typer.Typer:
    """Make an empty group of commands."""
    return typer.Typer(rich_markup_mode="markdown", no_args_is_help=True)
