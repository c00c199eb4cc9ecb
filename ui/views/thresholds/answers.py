"""The part of the page that measures the answers as the service gave them."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from ui.charts import confusion_matrix, show_chart
from ui.frame import plain
from ui.markup import percent
from ui.measures import calibration_error, confusion, wilson
from ui.views.thresholds.figures import Measured, confidence_figures
from ui.views.thresholds.wording import between, f1, share

MANY_LABELS = 12
"""From so many labels on, their table is as high as these and scrolls."""


def show_answers(measured: Measured) -> None:
    """Show how many answers are right, by label as well."""
    rows = measured.rows
    st.header("As the service answers", anchor=False)
    right, count = int(rows.is_right.sum()), len(rows.true)
    error = calibration_error(confidence_figures(measured).bins)
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
    counts = confusion(rows.true, rows.predicted, len(rows.labels))
    st.table(
        _by_label(rows.labels, counts),
        hide_index=True,
        border="horizontal",
        height="content" if len(counts) < MANY_LABELS else 430,
        alt="Precision, recall and F1 of each label",
    )
    st.caption("Each label against the rest, with 95 % intervals.")
    if len(rows.labels) > 2:
        show_chart(
            confusion_matrix(counts, rows.labels, rows.labels),
            "Confusion matrix",
            "Rows by their right label and the label that the service gave, with the share of the line.",
            key="confusion-all",
        )


def _by_label(labels: Sequence[str], counts: NDArray[np.int64]) -> dict[str, list[str]]:
    hits, have, get = counts.diagonal().tolist(), counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    of_each = list(zip(hits, have, get, strict=True))
    return {
        "label": [plain(label) for label in labels],
        "rows": [f"{count:,}" for count in have],
        "precision": [share(hit, given) for hit, _, given in of_each],
        "recall": [share(hit, rows) for hit, rows, _ in of_each],
        "F1": [f1(hit, rows + given - 2 * hit) for hit, rows, given in of_each],
    }
