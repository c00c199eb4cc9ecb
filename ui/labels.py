"""Labels of texts that can have several, or none: their thresholds, and how the pages write them."""

from collections.abc import Mapping, Sequence

from classifier.schema import ModelInfo

NO_LABEL = "no label"


def label_thresholds(model: ModelInfo | str) -> Mapping[str, float] | None:
    """The threshold of each label; None if a text has exactly one, or if no model answers."""
    return None if isinstance(model, str) else model.get("thresholds")


def in_words(labels: Sequence[str]) -> str:
    """The labels of a text in one line; it is no Markdown."""
    return ", ".join(labels) or NO_LABEL
