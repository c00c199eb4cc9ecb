"""The part of the page on the threshold of the confidence, below which an answer is uncertain."""

from math import isnan

import streamlit as st

from ui import snippets
from ui.charts import show_chart
from ui.markup import percent
from ui.measures import Sweep, best_for_precision, wilson
from ui.settings import settings
from ui.views.thresholds.figures import STEP, Measured, OneLabel, confidence_figures
from ui.views.thresholds.wording import at_every_threshold, between


def show_confidence(measured: Measured, rows: OneLabel) -> None:
    """Let the user choose a threshold, and show what it does and how to set it."""
    swept = confidence_figures(measured, rows).swept
    st.header("The threshold of the confidence", anchor=False)
    st.markdown(
        "An answer with less confidence is **uncertain**: a person should look at the text. A higher "
        "threshold leaves fewer answers, and more of them are right."
    )
    threshold = _chosen(measured, swept)
    at = round(threshold / STEP)
    sure, right, count = int(swept.predicted[at]), int(swept.true_positives[at]), len(rows.true)
    with st.container(horizontal=True, gap="large"):
        st.metric("Uncertain", percent(1 - sure / count), width="content", help="share of all rows")
        st.metric("Uncertain rows", f"{count - sure:,} of {count:,}", width="content")
        st.metric(
            "Accuracy of the others", percent(right / sure) if sure else "no rows are left", width="content"
        )
        st.metric("95 % interval", between(wilson(right, sure)), width="content")
    left, aside = st.columns(2, gap="large")
    with left:
        series = {"accuracy of the sure answers": swept.precision, "uncertain": 1 - swept.share}
        show_chart(
            at_every_threshold(series, "threshold of the confidence", threshold),
            "Accuracy and uncertain answers",
            "The accuracy is of the answers at or above the threshold; the others are uncertain.",
            key="coverage",
        )
    with aside:
        st.subheader("How to set it", anchor=False)
        st.markdown(
            "For all clients, in `config.yaml`. Answers keep their label, and `is_confident` is false below "
            "the threshold:"
        )
        st.code(snippets.config_lines(threshold), language=None)
        st.markdown("For one request, with a `threshold`. Its `final_prediction` is “uncertain” below it:")
        request = {"text": "A moving, beautifully acted film.", "threshold": threshold}
        st.code(snippets.curl(settings(), request), language=None, wrap_lines=True)


def _chosen(measured: Measured, swept: Sweep) -> float:
    key = f"confidence-{measured.job.id}"
    st.session_state.setdefault(key, 0.5)
    wanted = st.number_input(
        "Wanted accuracy of the sure answers, %",
        0.0,
        100.0,
        95.0,
        0.5,
        format="%.1f",
        key=f"accuracy-{measured.job.id}",
        width=320,
    )
    best = best_for_precision(swept, wanted / 100)
    if isnan(best):
        st.caption("No threshold gives this accuracy on these rows.")
    elif best <= 1 / len(measured.rows.labels):
        st.caption(
            f"It is reached without a threshold: {percent(float(swept.precision[0]))} of all answers are "
            "right."
        )
    else:
        st.button(
            f"Take {best:g}, which gives it and leaves most answers",
            on_click=st.session_state.update,
            args=({key: best},),
        )
    threshold: float = st.slider("Sure from this confidence on", 0.0, 1.0, step=STEP, format="%.3f", key=key)
    return threshold
