"""The part of the page on one threshold for all labels, if a text can have several."""

from math import isnan

import streamlit as st

from ui import snippets
from ui.charts import show_chart
from ui.markup import percent
from ui.measures import best_f1, wilson
from ui.settings import settings
from ui.views.thresholds.figures import STEP, Measured, SeveralLabels, all_labels_figures
from ui.views.thresholds.wording import at_every_threshold, between, f1, share


def show_all_labels(measured: Measured, rows: SeveralLabels) -> None:
    """Let the user choose a threshold for all labels, and show what it does and how to send it."""
    figures = all_labels_figures(measured, rows)
    swept, count = figures.swept, len(rows.numbers)
    st.header("One threshold for all labels", anchor=False)
    st.markdown(
        "A request can have a `threshold`, which replaces the thresholds of all labels for its answer. Each "
        "label of each text counts once here. There is no threshold of the confidence, because each label "
        "is given or not by its own probability."
    )
    key = f"all-labels-{measured.job.id}"
    st.session_state.setdefault(key, 0.5)
    best = best_f1(swept)
    if not isnan(best):
        st.button(
            f"Take {best:g}, which has the best F1", on_click=st.session_state.update, args=({key: best},)
        )
    threshold: float = st.slider("Threshold of all labels", 0.0, 1.0, step=STEP, format="%.3f", key=key)
    at = round(threshold / STEP)
    hits, given, right = int(swept.true_positives[at]), int(swept.predicted[at]), int(figures.right[at])
    left, aside = st.columns(2, gap="large")
    with left:
        st.table(
            {
                "figure": ["Precision", "Recall", "Micro F1", "Exactly right", "Without a label"],
                "value (95 % interval)": [
                    share(hits, given),
                    share(hits, swept.positives),
                    f1(hits, given + swept.positives - 2 * hits),
                    f"{percent(right / count)} ({between(wilson(right, count))})",
                    share(int(figures.without_label[at]), count),
                ],
                "count": [
                    f"{hits:,} right of {given:,} labels that are given",
                    f"{hits:,} found of {swept.positives:,} labels that texts have",
                    "mean of precision and recall",
                    f"{right:,} texts of {count:,} have exactly their labels",
                    f"{int(figures.without_label[at]):,} texts of {count:,}",
                ],
            },
            border="horizontal",
            hide_index=True,
        )
        st.markdown("For one request, with a `threshold`:")
        request = {"text": "A moving, beautifully acted film.", "threshold": threshold}
        st.code(snippets.curl(settings(), request), language=None, wrap_lines=True)
    with aside:
        series = {
            "precision": swept.precision,
            "recall": swept.recall,
            "micro F1": swept.f1,
            "exactly right": figures.right / count,
        }
        show_chart(
            at_every_threshold(series, "threshold of all labels", threshold),
            "All labels at every threshold",
            "The dotted line is the chosen threshold. A text is exactly right if it gets all of its labels "
            "and no other one.",
            key="all-labels",
        )
