"""Tables of figures that fit into the width of the screen."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from cli.console import harmless, out


def figures_table(labels: Sequence[str], figures: Sequence[str]) -> Table:
    """Make a table with columns of labels, which are folded where the screen is narrow, and of figures."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in labels:
        table.add_column(Text(harmless(column)), overflow="fold")
    for column in figures:
        table.add_column(Text(harmless(column)), justify="right", no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print a table below an empty line."""
    out.print()
    out.print(table, soft_wrap=False)
