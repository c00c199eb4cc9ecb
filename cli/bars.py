"""Bars that show probabilities in a terminal, in a pipe and in a file."""

from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size

from cli.console import harmless

BAR_WIDTH = 20
MAX_LABEL_WIDTH = 24
"""Most cells of a label in front of other columns."""
MAX_RANKED_WIDTH = 46
"""Most cells of a label that only its probability and bar follow."""
MAX_SHOWN_LABELS = 5
"""Most labels of a text that are shown one by one. If there is one more, it is shown as well."""

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """Return a bar of `width` characters, of which `share` (0 to 1) is filled, in steps of an eighth."""
    eighths = round(share * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def column(text: str, width: int) -> str:
    """Return a text in one line that takes exactly `width` cells of a terminal; a long one ends with "…"."""
    line = harmless(text)
    return set_cell_size(line, width) if cell_len(line) <= width else set_cell_size(line, width - 1) + "…"


def label_width(labels: list[str], most: int = MAX_LABEL_WIDTH) -> int:
    """Return the width of a column that all labels fit in, at most `most` cells."""
    return min(max(cell_len(harmless(label)) for label in labels), most)


def probability_lines(probabilities: Mapping[str, float]) -> list[str]:
    """Return a line with a bar for each of the strongest labels, and one for the others together."""
    rows, others = _strongest(probabilities)
    return _lines([*rows, (f"{len(others)} other labels", sum(others))] if others else rows)


def several_label_lines(probabilities: Mapping[str, float]) -> list[str]:
    """Return a line with a bar for each of the strongest labels of a text that can have several.

    The probabilities of the others have no sum that means something, so their line has the highest of them.
    """
    rows, others = _strongest(probabilities)
    return _lines([*rows, (f"{len(others)} other labels, at most", others[0])] if others else rows)


def _strongest(probabilities: Mapping[str, float]) -> tuple[list[tuple[str, float]], list[float]]:
    """Return the labels that are shown with their probabilities, and the other probabilities; both fall."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    shown = len(ranked) if len(ranked) <= MAX_SHOWN_LABELS + 1 else MAX_SHOWN_LABELS
    return ranked[:shown], [share for _, share in ranked[shown:]]


def _lines(rows: list[tuple[str, float]]) -> list[str]:
    width = label_width([label for label, _ in rows], MAX_RANKED_WIDTH)
    return [f"{column(label, width)}  {share:.4f}  {bar(share)}".rstrip() for label, share in rows]
