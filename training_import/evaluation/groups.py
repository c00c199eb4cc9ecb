"""Figures for each group of texts, such as texts of one length or with one way of wording."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.pipeline import Classifier
from training_import.dataset import Dataset, read_dataset
from training_import.evaluation.metrics import NO_CLASS, class_indices, without_neutral
from training_import.rows import MAX_BAD_SHARE, DatasetError

CONFIDENT = 0.8
"""A prediction whose confidence is above this counts as confident."""

MAX_GROUPS = 100
"""Most groups of a data set. A column with more is probably not a column of groups."""

NEUTRAL = "neutral"
"""The label in a file of `read_groups` for a text that no class is right for."""


@dataclass(frozen=True)
class GroupMetrics:
    """The figures over the texts of one group."""

    group: str
    texts: int
    labelled: int
    """How many of the texts a class is right for."""
    accuracy: float | None
    """The accuracy on those; None if there are none."""
    mean_confidence: float
    """The mean probability of the predicted class, over all texts of the group."""
    confident_share: float
    """The share of all texts of the group whose confidence is above CONFIDENT."""


@dataclass(frozen=True)
class GroupedTexts:
    """n texts with a label and a group each."""

    name: str
    sha256: str
    """The SHA-256 of the whole file."""
    texts: tuple[str, ...]
    labels: tuple[str | None, ...]
    """None for a text that no class is right for."""
    groups: tuple[str, ...]


def read_groups(path: Path, part: str | None = None, max_bad_rows: float = MAX_BAD_SHARE) -> GroupedTexts:
    """Read a file with the columns text, label, group and part, or only one of its parts.

    The label NEUTRAL becomes None. Raises DatasetError if the file cannot be read, has no such part, or has
    texts with several labels.
    """
    dataset = read_dataset(path, max_bad_rows=max_bad_rows, more_columns={"group": None, "part": None})
    dataset.check_one_label("the figures of groups are for texts with one label each")
    groups = groups_of(dataset, "group")
    parts = dataset.columns["part"]
    if part is not None and part not in parts:
        raise DatasetError(f"{path} has no part {part!r}; it has {', '.join(sorted(set(parts)))}")
    labels = without_neutral(dataset.labels, NEUTRAL)
    kept = [row for row, its_part in enumerate(parts) if part is None or its_part == part]
    return GroupedTexts(
        name=dataset.name,
        sha256=dataset.sha256,
        texts=tuple(dataset.texts[row] for row in kept),
        labels=tuple(labels[row] for row in kept),
        groups=tuple(groups[row] for row in kept),
    )


def groups_of(dataset: Dataset, column: str) -> list[str]:
    """Return the group of each text, which was read from a column. Raises DatasetError beyond MAX_GROUPS."""
    groups = dataset.columns[column]
    count = len(set(groups))
    if count > MAX_GROUPS:
        raise DatasetError(
            f"{dataset.name} has {count:,} groups in the column {column!r}; it may have {MAX_GROUPS}"
        )
    return groups


def evaluate_groups(
    classifier: Classifier, texts: Sequence[str], labels: Sequence[str | None], groups: Sequence[str]
) -> tuple[GroupMetrics, ...]:
    """Predict n texts, which have a label (or None) and a group each; returns the figures of each group.

    Raises ClassifierError if a label is not a class of the model.
    """
    truth = class_indices(labels, classifier.labels)
    probabilities = classifier.probabilities(texts)
    return group_metrics(groups, truth, classifier.decide(probabilities), probabilities)


def group_metrics(
    groups: Sequence[str],
    truth: NDArray[np.intp],
    predicted: NDArray[np.intp],
    probabilities: NDArray[np.float64],
) -> tuple[GroupMetrics, ...]:
    """Compare predictions (n) and probabilities (n, classes) with the truth (n) in each group.

    The groups are in the order in which they first occur. The truth is NO_CLASS for a text that no class is
    right for.
    """
    confidence = probabilities[np.arange(len(predicted)), predicted]
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(groups):
        rows_of[name].append(row)
    return tuple(
        _one_group(name, truth[rows], predicted[rows], confidence[rows]) for name, rows in rows_of.items()
    )


def _one_group(
    name: str, truth: NDArray[np.intp], predicted: NDArray[np.intp], confidence: NDArray[np.float64]
) -> GroupMetrics:
    labelled = truth != NO_CLASS
    return GroupMetrics(
        group=name,
        texts=len(truth),
        labelled=int(labelled.sum()),
        accuracy=float((truth == predicted)[labelled].mean()) if labelled.any() else None,
        mean_confidence=float(confidence.mean()),
        confident_share=float((confidence > CONFIDENT).mean()),
    )
