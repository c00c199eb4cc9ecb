"""What the parts of the page measure, kept for the next movement of a slider."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ui.jobs import Job
from ui.measures import (
    Interval,
    Ranking,
    ReliabilityBin,
    Sweep,
    average_precision,
    best_f1,
    bootstrap,
    confusion,
    exactly_right,
    ranking,
    reliability,
    roc_auc,
    sweep,
)

STEP = 0.001
THRESHOLDS = np.linspace(0, 1, 1001)
"""The thresholds that can be chosen, a step apart."""

KEPT_SECONDS = 3600


@dataclass(frozen=True)
class LabelCounts:
    """How often each of k labels is right, shape (k,) each."""

    hits: NDArray[np.int64]
    """Rows that have the label and get it."""
    have: NDArray[np.int64]
    """Rows that have it."""
    get: NDArray[np.int64]
    """Rows that get it."""


@dataclass(frozen=True)
class Rows(ABC):
    """The n rows with an answer whose right labels are known, and which the model has."""

    labels: tuple[str, ...]
    """The k labels of the model."""
    numbers: NDArray[np.int64]
    """Shape (n,), as all below without a shape; the places of the rows in the file, from 1 on."""
    probabilities: NDArray[np.float32]
    """Shape (n, k)."""
    is_right: NDArray[np.bool_]
    left_out: Mapping[str, int]
    """The rows that are left out, by their right label."""

    @abstractmethod
    def has(self, label: int) -> NDArray[np.bool_]:
        """Which rows have the label at this place."""

    @abstractmethod
    def counts(self) -> LabelCounts:
        """The rows of each label."""


@dataclass(frozen=True)
class OneLabel(Rows):
    """Rows that have one label each."""

    true: NDArray[np.int32]
    predicted: NDArray[np.int32]
    confidences: NDArray[np.float32]

    def has(self, label: int) -> NDArray[np.bool_]:  # noqa: D102 - as in the base class
        has_label: NDArray[np.bool_] = self.true == label
        return has_label

    def counts(self) -> LabelCounts:  # noqa: D102 - as in the base class
        cells = self.confusion()
        return LabelCounts(cells.diagonal(), cells.sum(axis=1), cells.sum(axis=0))

    def confusion(self) -> NDArray[np.int64]:
        """Rows by their right label (first axis) and the label that they got (second axis)."""
        return confusion(self.true, self.predicted, len(self.labels))


@dataclass(frozen=True)
class SeveralLabels(Rows):
    """Rows that can have several labels, or none. A row is right if it gets exactly its labels."""

    true: NDArray[np.bool_]
    """Shape (n, k)."""
    predicted: NDArray[np.bool_]
    """Shape (n, k)."""

    def has(self, label: int) -> NDArray[np.bool_]:  # noqa: D102 - as in the base class
        return self.true[:, label]

    def counts(self) -> LabelCounts:  # noqa: D102 - as in the base class
        return LabelCounts(
            (self.true & self.predicted).sum(axis=0), self.true.sum(axis=0), self.predicted.sum(axis=0)
        )


@dataclass(frozen=True)
class Measured:
    """A job with its rows."""

    job: Job
    version: str
    """Changes with the results of the job."""
    rows: Rows
    model_threshold: float | None
    """The probability from which the model answers the second of two labels; None if it is not known."""
    label_thresholds: Mapping[str, float] | None = None
    """The model's own threshold of each label, if a text can have several and the model is known."""


@dataclass(frozen=True)
class LabelFigures:
    """One label against the rest."""

    ranked: Ranking
    swept: Sweep
    """At `THRESHOLDS`."""
    roc_auc: float
    roc_auc_interval: Interval
    average_precision: float
    average_precision_interval: Interval
    best_f1_interval: Interval
    """Where the threshold with the best F1 probably is."""
    bins: list[ReliabilityBin]


@dataclass(frozen=True)
class ConfidenceFigures:
    """The confidence in the label that was answered."""

    swept: Sweep
    """At `THRESHOLDS`; a row that is right has the "label", and "gets" it if it is answered."""
    bins: list[ReliabilityBin]


@dataclass(frozen=True)
class AllLabelsFigures:
    """One threshold for all labels, if a text can have several."""

    swept: Sweep
    """At `THRESHOLDS`, of all pairs of a row and a label."""
    right: NDArray[np.int64]
    """Rows that get exactly their labels at each of `THRESHOLDS`."""
    without_label: NDArray[np.int64]
    """Rows that get no label at each of them."""


def _key(measured: Measured) -> tuple[str, str]:
    return measured.job.id, measured.version


# They are kept as resources, because data would be copied each time. Nobody changes them.
@st.cache_resource(
    max_entries=4,
    ttl=KEPT_SECONDS,
    show_spinner="The answers are read",
    hash_funcs={Job: lambda job: job.id},
)
def labelled_rows(job: Job, version: str) -> Rows:  # noqa: ARG001 - results change with their version
    """The rows of a job that can be measured."""
    return _several_labels(job) if job.progress().has_several_labels else _one_label(job)


def _one_label(job: Job) -> OneLabel:
    labelled = job.labelled()
    count = labelled.probabilities.shape[1]
    is_known = labelled.true < count
    true, predicted = labelled.true[is_known], labelled.predicted[is_known]
    probabilities = labelled.probabilities[is_known]
    left_out = np.bincount(labelled.true[~is_known], minlength=len(labelled.names))[count:]
    return OneLabel(
        labels=labelled.names[:count],
        numbers=labelled.numbers[is_known],
        probabilities=probabilities,
        is_right=true == predicted,
        left_out=dict(zip(labelled.names[count:], left_out.tolist(), strict=True)),
        true=true,
        predicted=predicted,
        confidences=probabilities[np.arange(len(predicted)), predicted],
    )


def _several_labels(job: Job) -> SeveralLabels:
    sets = job.labelled_sets()
    return SeveralLabels(
        labels=sets.names,
        numbers=sets.numbers,
        probabilities=sets.probabilities,
        is_right=(sets.true == sets.predicted).all(axis=1),
        left_out=sets.left_out,
        true=sets.true,
        predicted=sets.predicted,
    )


@st.cache_resource(
    max_entries=16, ttl=KEPT_SECONDS, show_spinner="The label is measured", hash_funcs={Measured: _key}
)
def label_figures(measured: Measured, label: int) -> LabelFigures:
    """Measure the label at this place among the labels of the model."""
    rows = measured.rows
    probabilities, has_label = rows.probabilities[:, label], rows.has(label)
    ranked = ranking(probabilities, has_label)
    return LabelFigures(
        ranked,
        sweep(ranked, THRESHOLDS),
        roc_auc(ranked),
        bootstrap(ranked, roc_auc),
        average_precision(ranked),
        bootstrap(ranked, average_precision),
        bootstrap(ranked, lambda resample: best_f1(sweep(resample, resample.scores))),
        reliability(probabilities, has_label),
    )


# Streamlit does not look at an argument whose name begins with "_"; these rows are those of the job.
@st.cache_resource(max_entries=4, ttl=KEPT_SECONDS, show_spinner=False, hash_funcs={Measured: _key})
def confidence_figures(measured: Measured, _rows: OneLabel) -> ConfidenceFigures:  # noqa: ARG001
    """Measure what the confidence says about the answers."""
    swept = sweep(ranking(_rows.confidences, _rows.is_right), THRESHOLDS)
    return ConfidenceFigures(swept, reliability(_rows.confidences, _rows.is_right))


@st.cache_resource(max_entries=4, ttl=KEPT_SECONDS, show_spinner=False, hash_funcs={Measured: _key})
def all_labels_figures(measured: Measured, _rows: SeveralLabels) -> AllLabelsFigures:  # noqa: ARG001
    """Measure one threshold for all labels."""
    most = np.sort(_rows.probabilities.max(axis=1))
    return AllLabelsFigures(
        sweep(ranking(_rows.probabilities.ravel(), _rows.true.ravel()), THRESHOLDS),
        exactly_right(_rows.probabilities, _rows.true, THRESHOLDS),
        np.searchsorted(most, THRESHOLDS.astype(most.dtype)),
    )
