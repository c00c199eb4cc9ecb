"""Tables in Markdown."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~$&]")
"""What would be read as Markdown or HTML within a cell."""


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; each row has as many cells as the header, and each cell is plain text."""
    lines = [map(_escaped, header), ["---"] * len(header), *(map(_escaped, row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
