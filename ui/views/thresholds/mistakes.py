"""The part of the page on the wrong answers that the model was surest of."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ui.frame import plain
from ui.jobs import Result
from ui.labels import in_words
from ui.rows import explain_text, select_row, shown_text
from ui.views.thresholds.figures import Measured, OneLabel, SeveralLabels

WORST = 10


def show_mistakes(measured: Measured) -> None:
    """Show the worst mistakes, and explain the one that is selected."""
    rows = measured.rows
    st.header("Worst mistakes", anchor=False)
    wrong = np.flatnonzero(~rows.is_right)
    if not len(wrong):
        st.caption("All answers are right.")
        return
    match rows:
        case OneLabel():
            _of_one_label(measured, rows, wrong)
        case SeveralLabels():
            _of_several_labels(measured, rows, wrong)


def _of_one_label(measured: Measured, rows: OneLabel, wrong: NDArray[np.intp]) -> None:
    worst = wrong[np.argsort(-rows.confidences[wrong], kind="stable")[:WORST]]
    found = _results(measured, worst)
    st.caption(
        f"Of the {len(wrong):,} wrong answers of the service, those with the highest confidence. Some may "
        "have a wrong label in the file. Select one to see why it was answered so."
    )
    place = select_row(
        {
            "row": [result.number for result in found],
            "text": [shown_text(result.text) for result in found],
            "answered": [result.label for result in found],
            "right": [result.true_label for result in found],
            "confidence": [100 * (result.confidence or 0.0) for result in found],
        },
        key=f"mistakes-{measured.job.id}-{measured.version}",
        alt="The wrong answers with the highest confidence",
    )
    if place is not None:
        _explain(found[place])


def _results(measured: Measured, worst: NDArray[np.intp]) -> list[Result]:
    numbers = measured.rows.numbers[worst].tolist()
    return [result for number in numbers if (result := measured.job.result(number)) is not None]


def _of_several_labels(measured: Measured, rows: SeveralLabels, wrong: NDArray[np.intp]) -> None:
    """The rows with the label whose probability is farthest from what is right."""
    is_wrong = rows.true[wrong] != rows.predicted[wrong]
    gaps = np.where(is_wrong, np.abs(rows.true[wrong] - rows.probabilities[wrong]), 0.0)
    order = np.argsort(-gaps.max(axis=1), kind="stable")[:WORST]
    found = _results(measured, wrong[order])
    labels = [rows.labels[place] for place in gaps[order].argmax(axis=1).tolist()]
    st.caption(
        f"Of the {len(wrong):,} rows that did not get exactly their labels, those with the most wrong "
        "probability of a label. Some may have wrong labels in the file. Select one to see why."
    )
    place = select_row(
        {
            "row": [result.number for result in found],
            "text": [shown_text(result.text) for result in found],
            "answered": [in_words(result.labels or ()) for result in found],
            "right": [in_words(result.true_labels or ()) for result in found],
            "most wrong": labels,
            "probability": [
                100 * result.probabilities.get(label, 0.0)
                for result, label in zip(found, labels, strict=True)
            ],
        },
        key=f"mistakes-{measured.job.id}-{measured.version}",
        alt="The rows with the most wrong probability of a label",
    )
    if place is not None:
        _explain_label(found[place], labels[place])


def _explain_label(result: Result, label: str) -> None:
    st.subheader(f"Row {result.number:,}", anchor=False)
    is_given = label in (result.labels or ())
    st.markdown(
        f"Why the text {'got' if is_given else 'did not get'} the label **{plain(label)}**, while "
        f"{plain(in_words(result.true_labels or ()))} is right:"
    )
    explain_text(result.text, label)


def _explain(result: Result) -> None:
    st.subheader(f"Row {result.number:,}", anchor=False)
    st.markdown(
        f"Why the answer is **{plain(result.label or '')}**, while {plain(result.true_label or '')} is right:"
    )
    explain_text(result.text, result.label)
