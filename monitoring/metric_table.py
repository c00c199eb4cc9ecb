"""The table of all metrics in docs/operations.md."""

from collections.abc import Iterator
from pathlib import Path

from serving.telemetry.catalogue import METRICS, Metric

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
BEGIN, END = "<!-- The metrics begin here. -->\n", "<!-- The metrics end here. -->\n"
"""The lines of the page around the table."""


def with_table(page: str) -> str:
    """The page with the present table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{metric_table()}\n{END}{after}"


def metric_table() -> str:
    """The table in Markdown: a row for each metric."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    yield "metric", "kind", "labels", "unit", "what it is"
    yield "---", "---", "---", "---", "---"
    for metric in METRICS:
        yield f"`{metric.name}`", metric.kind, _labels(metric), metric.unit, metric.help


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels)
