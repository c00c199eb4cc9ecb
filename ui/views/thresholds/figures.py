"""What the parts of the page measure, kept for the next movement of a slider."""

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
class Rows:
    """The n rows with an answer and with a right label that the model has."""

    labels: tuple[str, ...]
    """The k labels of the model."""
    numbers: NDArray[np.int64]
    """Shape (n,), as all below without a shape; the places of the rows in the file, from 1 on."""
    true: NDArray[np.int32]
    predicted: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    """Shape (n, k)."""
    confidences: NDArray[np.float32]
    is_right: NDArray[np.bool_]
    left_out: Mapping[str, int]
    """The rows that are left out, by their right label."""


@dataclass(frozen=True)
class Measured:
    """A job with its rows."""

    job: Job
    version: str
    """Changes with the results of the job."""
    rows: Rows
    model_threshold: float | None
    """The probability from which the model answers the second of two labels; None if it is not known."""


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
    labelled = job.labelled()
    count = labelled.probabilities.shape[1]
    is_known = labelled.true < count
    true, predicted = labelled.true[is_known], labelled.predicted[is_known]
    probabilities = labelled.probabilities[is_known]
    left_out = np.bincount(labelled.true[~is_known], minlength=len(labelled.names))[count:]
    return Rows(
        labelled.names[:count],
        labelled.numbers[is_known],
        true,
        predicted,
        probabilities,
        probabilities[np.arange(len(predicted)), predicted],
        true == predicted,
        dict(zip(labelled.names[count:], left_out.tolist(), strict=True)),
    )


@st.cache_resource(
    max_entries=16, ttl=KEPT_SECONDS, show_spinner="The label is measured", hash_funcs={Measured: _key}
)
def label_figures(measured: Measured, label: int) -> LabelFigures:
    """Measure the label at this place among the labels of the model."""
    rows = measured.rows
    probabilities, has_label = rows.probabilities[:, label], rows.true == label
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


@st.cache_resource(max_entries=4, ttl=KEPT_SECONDS, show_spinner=False, hash_funcs={Measured: _key})
def confidence_figures(measured: Measured) -> ConfidenceFigures:
    """Measure what the confidence says about the answers."""
    rows = measured.rows
    swept = sweep(ranking(rows.confidences, rows.is_right), THRESHOLDS)
    return ConfidenceFigures(swept, reliability(rows.confidences, rows.is_right))
