"""The part of the page that measures the answers as the service gave them."""

from collections.abc import Sequence
from math import isnan

import streamlit as st

from ui.charts import confusion_matrix, show_chart
from ui.frame import plain
from ui.markup import percent
from ui.measures import calibration_error, macro_f1, micro_f1, wilson
from ui.views.thresholds.figures import (
    LabelCounts,
    Measured,
    OneLabel,
    SeveralLabels,
    confidence_figures,
)
from ui.views.thresholds.wording import between, f1, share

MANY_LABELS = 12
"""From so many labels on, their table is as high as these and scrolls."""


def show_answers(measured: Measured) -> None:
    """Show how many answers are right, by label as well."""
    rows = measured.rows
    st.header("As the service answers", anchor=False)
    match rows:
        case OneLabel():
            _one_label(measured, rows)
        case SeveralLabels():
            _several_labels(rows)
    counts = rows.counts()
    st.table(
        _by_label(rows.labels, counts),
        hide_index=True,
        border="horizontal",
        height="content" if len(rows.labels) < MANY_LABELS else 430,
        alt="Precision, recall and F1 of each label",
    )
    st.caption("Each label against the rest, with 95 % intervals.")
    match rows:
        case OneLabel() if len(rows.labels) > 2:
            show_chart(
                confusion_matrix(rows.confusion(), rows.labels, rows.labels),
                "Confusion matrix",
                "Rows by their right label and the label that the service gave, with the share of the line.",
                key="confusion-all",
            )
        case SeveralLabels():
            st.caption(
                "There is no confusion matrix of all labels, because a text that lacks a label was not taken "
                "for another one."
            )


def _one_label(measured: Measured, rows: OneLabel) -> None:
    right, count = int(rows.is_right.sum()), len(rows.numbers)
    error = calibration_error(confidence_figures(measured, rows).bins)
    with st.container(horizontal=True, gap="large"):
        st.metric("Accuracy", percent(right / count), width="content", help="share of the rows that is right")
        st.metric(
            "95 % interval",
            between(wilson(right, count)),
            width="content",
            help="where the accuracy on all texts of this kind probably is; Wilson's interval",
        )
        st.metric("Rows", f"{count:,}", width="content")
        st.metric(
            "ECE",
            f"{error:.4f}",
            width="content",
            help="mean gap between confidence and accuracy; 0 is best",
        )


def _several_labels(rows: SeveralLabels) -> None:
    right, count, counts = int(rows.is_right.sum()), len(rows.numbers), rows.counts()
    with st.container(horizontal=True, gap="large"):
        st.metric(
            "Exactly right",
            percent(right / count),
            width="content",
            help="share of the rows that got their labels and no other one; the subset accuracy",
        )
        st.metric(
            "95 % interval",
            between(wilson(right, count)),
            width="content",
            help="where this share of all texts of this kind probably is; Wilson's interval",
        )
        st.metric(
            "Micro F1",
            _shown(micro_f1(counts.hits, counts.have, counts.get)),
            width="content",
            help="F1 of all pairs of a row and a label",
        )
        st.metric(
            "Macro F1",
            _shown(macro_f1(counts.hits, counts.have, counts.get)),
            width="content",
            help="mean F1 of the labels that rows have",
        )
        st.metric("Rows", f"{count:,}", width="content")


def _shown(figure: float) -> str:
    return "not defined" if isnan(figure) else percent(figure)


def _by_label(labels: Sequence[str], counts: LabelCounts) -> dict[str, list[str]]:
    have = counts.have.tolist()
    of_each = list(zip(counts.hits.tolist(), have, counts.get.tolist(), strict=True))
    return {
        "label": [plain(label) for label in labels],
        "rows": [f"{count:,}" for count in have],
        "precision": [share(hit, given) for hit, _, given in of_each],
        "recall": [share(hit, rows) for hit, rows, _ in of_each],
        "F1": [f1(hit, rows + given - 2 * hit) for hit, rows, given in of_each],
    }
