"""The texts of a training: which are for training, for choosing, or for the final test."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_import.dataset import Dataset
from training_import.evaluation.groups import GroupedTexts
from training_import.evaluation.metrics import class_indices
from training_import.overlap import overlapping
from training_import.rows import DatasetError

HELD_OUT_SHARE = 0.2
SHORT_TEST_TENTHS, SHORT_HELD_OUT_TENTHS = 2, 2
"""How many tenths of the short texts are for the test, and held out."""

ONE_LABEL_RULE = (
    "training makes only models that give a text one label; import a model that gives it several from "
    "scikit-learn or Hugging Face"
)

EMPTY = Dataset("", "", [], [])


@dataclass(frozen=True)
class DataSets:
    """What a training is given; raises DatasetError if the texts of one have several labels."""

    main: Dataset
    short: Dataset | None = None
    """Short texts of the same classes, for a model that is right on both kinds. The hash of a text decides
    whether it is for training, held out, or for the test."""
    phrases: Dataset | None = None
    """Short texts of the same classes that the model only learns from."""
    test: Dataset | None = None
    """Texts for the figures of the finished model."""
    groups: GroupedTexts | None = None
    """Short texts for figures by group."""

    def __post_init__(self) -> None:
        for dataset in (self.main, self.short, self.phrases, self.test):
            if dataset is not None:
                dataset.check_one_label(ONE_LABEL_RULE)


@dataclass(frozen=True)
class Material:
    """The n texts to learn from, and those for the final test."""

    texts: list[str]
    labels: list[str]
    is_short: NDArray[np.bool_]
    is_phrase: NDArray[np.bool_]
    """Which texts (n) are phrases."""
    train_rows: NDArray[np.intp]
    """The indices of the texts to train on."""
    held_out_rows: NDArray[np.intp]
    """The indices of the texts to choose and calibrate on."""
    test: Dataset | None
    short_test: Dataset | None
    left_out: int
    """How many texts are not among the n, because they overlap with a text of the test."""


def split_material(data: DataSets, seed: int) -> Material:
    """Split data sets: a fifth of each class is held out, and short texts are split by their hashes.

    Texts to learn from are left out if they overlap with test texts. `training_import.overlap` says when.
    Raises DatasetError if a class has no text in one of the parts.
    """
    learn, short_held_out, short_test = _split_short(data.short)
    phrases = data.phrases or EMPTY
    texts = data.main.texts + phrases.texts + learn.texts + short_held_out.texts
    labels = data.main.labels + phrases.labels + learn.labels + short_held_out.labels
    is_short = np.arange(len(texts)) >= len(data.main.texts)
    is_phrase = is_short & (np.arange(len(texts)) < len(data.main.texts) + len(phrases.texts))
    is_held_out = np.arange(len(texts)) >= len(texts) - len(short_held_out.texts)
    is_held_out[_held_out_rows(class_indices(data.main.labels, data.main.classes), seed)] = True

    keep = ~overlapping(texts, [*_tested(data), *short_test.texts])
    rows = np.flatnonzero(keep).tolist()
    material = Material(
        texts=[texts[row] for row in rows],
        labels=[labels[row] for row in rows],
        is_short=is_short[keep],
        is_phrase=is_phrase[keep],
        train_rows=np.flatnonzero(~is_held_out[keep]),
        held_out_rows=np.flatnonzero(is_held_out[keep]),
        test=data.test,
        short_test=short_test if short_test.texts else None,
        left_out=len(texts) - len(rows),
    )
    _check_classes(data, material, short_test)
    return material


def fold_material(data: DataSets, _seed: int) -> Material:
    """Return the material of a training that holds each text out once, in a fold of a cross-validation.

    All texts are to train on, and all are held out. Texts that overlap with test texts are left out. Raises
    DatasetError if a class has fewer than two texts, because one of them is held out.
    """
    keep = ~overlapping(data.main.texts, _tested(data))
    main = data.main.only(keep.tolist())
    left_out = int((~keep).sum())
    counts = Counter(main.labels)
    for label in data.main.classes:
        if counts[label] < 2:
            raise DatasetError(
                f"{main.name}: class {label!r} has fewer than 2 texts to train on; {left_out} texts were "
                "left out, because they overlap with test texts"
            )
    rows, none = np.arange(len(main.texts)), np.zeros(len(main.texts), bool)
    return Material(main.texts, main.labels, none, none, rows, rows, data.test, None, left_out)


def _tested(data: DataSets) -> list[str]:
    """Return the texts for the figures of the finished model, short texts aside."""
    return [*(data.test.texts if data.test else ()), *(data.groups.texts if data.groups else ())]


def _check_classes(data: DataSets, material: Material, short_test: Dataset) -> None:
    """Raise DatasetError if a class has no text in one of the parts."""
    labels = np.array(material.labels, object)
    is_held_out = np.isin(np.arange(len(labels)), material.held_out_rows)
    parts: list[tuple[Dataset, str, Iterable[str]]] = []
    is_short = material.is_short & ~material.is_phrase
    for dataset, rows in ((data.main, ~material.is_short), (data.short, is_short)):
        if dataset is not None:
            parts.append((dataset, "to train on", labels[rows & ~is_held_out]))
            parts.append((dataset, "that is held out", labels[rows & is_held_out]))
    if data.short is not None:
        parts.append((data.short, "for the test", short_test.labels))
    for dataset, purpose, found in parts:
        missing = sorted(set(data.main.classes).difference(found))
        if missing:
            raise DatasetError(
                f"{dataset.name}: class {missing[0]!r} has no text {purpose}, and needs at least one; "
                f"{material.left_out} texts were left out, because they overlap with test texts"
            )


def _held_out_rows(truth: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Return the rows to hold out: a fifth of each class."""
    generator = np.random.default_rng(seed)
    chosen = []
    for class_ in np.unique(truth):
        rows = generator.permutation(np.flatnonzero(truth == class_))
        chosen.append(rows[: round(len(rows) * HELD_OUT_SHARE)])
    return np.sort(np.concatenate(chosen))


def _split_short(short: Dataset | None) -> tuple[Dataset, Dataset, Dataset]:
    """Return the short texts to train on, those to hold out, and those for the test."""
    if short is None:
        return EMPTY, EMPTY, EMPTY
    tenths = [
        int(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), 16) % 10 for text in short.texts
    ]
    held_out = range(SHORT_TEST_TENTHS, SHORT_TEST_TENTHS + SHORT_HELD_OUT_TENTHS)
    return (
        short.only([tenth >= held_out.stop for tenth in tenths]),
        short.only([tenth in held_out for tenth in tenths]),
        short.only([tenth < SHORT_TEST_TENTHS for tenth in tenths]),
    )
