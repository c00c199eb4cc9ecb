"""Print a summary: headings on the left, and next to each its lines, wrapped to the width of the screen."""

import textwrap
from collections.abc import Sequence

from rich.text import Text

from cli.console import harmless, out

HEADING_WIDTH = 10


def print_section(heading: str, lines: Sequence[str], bullet: str = "") -> None:
    """Print a heading with its lines, each behind a bullet; nothing if there are no lines.

    A path or tag is never broken.
    """
    for number, line in enumerate(lines):
        beginning = "" if number else heading
        wrapped = textwrap.wrap(
            harmless(line),
            max(out.width, 2 * HEADING_WIDTH),
            initial_indent=f"{beginning:<{HEADING_WIDTH}}{bullet}",
            subsequent_indent=" " * (HEADING_WIDTH + len(bullet)),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for part in wrapped:
            out.print(Text(part), soft_wrap=True)
