"""The part of the page on the wrong answers that the model was surest of."""

import numpy as np
import streamlit as st

from ui.frame import plain
from ui.jobs import Result
from ui.rows import explain_text, select_row, shown_text
from ui.views.thresholds.figures import Measured

WORST = 10


def show_mistakes(measured: Measured) -> None:
    """Show the worst mistakes, and explain the one that is selected."""
    rows, job = measured.rows, measured.job
    st.header("Worst mistakes", anchor=False)
    wrong = np.flatnonzero(~rows.is_right)
    if not len(wrong):
        st.caption("All answers are right.")
        return
    worst = wrong[np.argsort(-rows.confidences[wrong], kind="stable")[:WORST]]
    found = [result for row in worst if (result := job.result(int(rows.numbers[row]))) is not None]
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
        key=f"mistakes-{job.id}-{measured.version}",
        alt="The wrong answers with the highest confidence",
    )
    if place is not None:
        _explain(found[place])


def _explain(result: Result) -> None:
    st.subheader(f"Row {result.number:,}", anchor=False)
    st.markdown(
        f"Why the answer is **{plain(result.label or '')}**, while {plain(result.true_label or '')} is right:"
    )
    explain_text(result.text, result.label)
