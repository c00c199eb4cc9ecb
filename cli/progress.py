"""Progress on the screen while a command works."""

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cli.console import err


def spinner() -> Progress:
    """Show what a command is doing and for how long."""
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=err, transient=False
    )


def training() -> Progress:
    """Show the step of a training, the time since its start and, if it is known, the time left."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=err,
    )


def counting() -> Progress:
    """Show how many of a known number are done."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err)
