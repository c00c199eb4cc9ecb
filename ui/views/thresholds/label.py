"""The part of the page on the threshold of one label's probability."""

from dataclasses import dataclass
from enum import StrEnum
from math import isnan, nan

import numpy as np
import streamlit as st

from ui import snippets
from ui.charts import confusion_matrix, curve, reliability_diagram, show_chart
from ui.frame import plain
from ui.measures import (
    Interval,
    Sweep,
    best_f1,
    best_for_costs,
    best_for_precision,
    best_for_recall,
    calibration_error,
    precision_recall_curve,
    roc_curve,
)
from ui.views.thresholds.figures import (
    STEP,
    THRESHOLDS,
    LabelFigures,
    Measured,
    SeveralLabels,
    label_figures,
)
from ui.views.thresholds.wording import at_every_threshold, f1, share


class Goal(StrEnum):
    """What a threshold is chosen for."""

    HAND = "my own choice"
    F1 = "the best F1"
    PRECISION = "a wanted precision"
    RECALL = "a wanted recall"
    COSTS = "the lowest cost of errors"


def show_label(measured: Measured) -> None:
    """Let the user choose a label and its threshold, and show what it does and how to use it."""
    labels, job_id = measured.rows.labels, measured.job.id
    st.header("The threshold of a label", anchor=False)
    below = "does not have it" if _has_several(measured) else "gets another label"
    st.markdown(
        f"A text gets the label from this probability on, and {below} below it. A higher threshold "
        "gives the label to fewer texts, and more of them have it."
    )
    label_box, goal_box, wish_box = st.columns([1, 1, 2])
    frequent = int(measured.rows.counts().have.argmax())
    first = 1 if _is_binary(measured) else frequent
    label = label_box.selectbox("Label", labels, first, key=f"label-{job_id}")
    goal = Goal(goal_box.selectbox("Threshold for", [str(goal) for goal in Goal], key=f"goal-{job_id}"))
    place = labels.index(label)
    figures = label_figures(measured, place)
    with wish_box:
        wish = _wish(job_id, figures.swept, goal)
    threshold = _chosen(measured, place, wish)
    if goal is not Goal.HAND:
        st.caption(_verdict(wish, figures.best_f1_interval if goal is Goal.F1 else None))
    at = round(threshold / STEP)
    _at(measured, place, figures.swept, at)
    _curves(figures, at, label)
    _how_to_use(measured, place, threshold)


@dataclass(frozen=True)
class _Wish:
    """What the threshold should be good for, in words, and the best threshold for it."""

    words: str
    best: float
    """NaN if no threshold fulfils the wish, or if the user chooses it."""


def _wish(job_id: str, swept: Sweep, goal: Goal) -> _Wish:
    match goal:
        case Goal.HAND:
            return _Wish(goal, nan)
        case Goal.F1:
            return _Wish(goal, best_f1(swept))
        case Goal.PRECISION | Goal.RECALL:
            name, find = (
                ("precision", best_for_precision) if goal is Goal.PRECISION else ("recall", best_for_recall)
            )
            wanted = st.number_input(
                f"Wanted {name}, %", 0.0, 100.0, 95.0, 0.5, format="%.1f", key=f"{name}-{job_id}"
            )
            return _Wish(f"a {name} of at least {wanted:g} %", find(swept, wanted / 100))
        case Goal.COSTS:
            left, right = st.columns(2)
            given = left.number_input("Cost if it is given wrongly", 0.0, 1e9, 1.0, key=f"given-{job_id}")
            missing = right.number_input("Cost if it is missing", 0.0, 1e9, 1.0, key=f"missing-{job_id}")
            words = f"{goal}, {given:g} for a wrong label and {missing:g} for a missing one,"
            return _Wish(words, best_for_costs(swept, given, missing))


def _chosen(measured: Measured, place: int, wish: _Wish) -> float:
    """The threshold of the slider. A new wish moves it to the best threshold; the user can move it on."""
    key = f"threshold-{measured.job.id}-{place}"
    st.session_state.setdefault(key, _start(measured, place))
    if st.session_state.get(f"{key}-wish") != wish.words and not isnan(wish.best):
        st.session_state[key] = wish.best
    st.session_state[f"{key}-wish"] = wish.words
    name = plain(measured.rows.labels[place])
    threshold: float = st.slider(
        f"Threshold: {name} from this probability on", 0.0, 1.0, step=STEP, format="%.3f", key=key
    )
    return threshold


def _start(measured: Measured, place: int) -> float:
    """Where the slider begins: at the model's own threshold, if it has one and it is known."""
    if measured.label_thresholds is not None:
        own = measured.label_thresholds.get(measured.rows.labels[place], 0.5)
        return float(THRESHOLDS[round(own / STEP)])
    if measured.model_threshold is None or not _is_binary(measured):
        return 0.5
    return measured.model_threshold if place == 1 else 1 - measured.model_threshold


def _has_several(measured: Measured) -> bool:
    return isinstance(measured.rows, SeveralLabels)


def _is_binary(measured: Measured) -> bool:
    """Whether a text has one of two labels, so that a text without one has the other."""
    return len(measured.rows.labels) == 2 and not _has_several(measured)


def _verdict(wish: _Wish, interval: Interval | None) -> str:
    if isnan(wish.best):
        return f"No threshold gives {wish.words} on these rows, so the slider stays where it is."
    between = (
        f" In 95 % of 1,000 resamples of the rows the best is from {interval.low:.3f} to {interval.high:.3f}."
        if interval and not isnan(interval.low)
        else ""
    )
    return (
        f"The threshold for {wish.words} on these rows is {wish.best:g}.{between} It is chosen on the rows "
        "that it is measured on, so expect slightly worse figures on others."
    )


def _at(measured: Measured, place: int, swept: Sweep, at: int) -> None:
    """The figures and the confusion matrix at one threshold."""
    labels, threshold = measured.rows.labels, THRESHOLDS[at]
    rows, given = swept.positives + swept.negatives, int(swept.predicted[at])
    hits, right = int(swept.true_positives[at]), int(swept.right[at])
    missing = swept.positives - hits
    left, aside = st.columns(2, gap="large")
    with left:
        st.subheader(f"At the threshold {threshold:g}", anchor=False)
        st.table(
            {
                "figure": ["Precision", "Recall", "F1", "Accuracy", "Gets the label"],
                "value (95 % interval)": [
                    share(hits, given),
                    share(hits, swept.positives),
                    f1(hits, given - hits + missing),
                    share(right, rows),
                    share(given, rows),
                ],
                "rows": [
                    f"{hits:,} right of {given:,} that get it",
                    f"{hits:,} found of {swept.positives:,} that have it",
                    "mean of precision and recall",
                    f"{right:,} right of {rows:,}",
                    f"{given:,} of {rows:,}",
                ],
            },
            border="horizontal",
            hide_index=True,
        )
    with aside:
        label = labels[place]
        names = (label, labels[1 - place] if _is_binary(measured) else f"not {label}")
        cells = np.array([[hits, missing], [given - hits, swept.negatives - (given - hits)]])
        show_chart(
            confusion_matrix(cells, names, names),
            "Confusion matrix",
            f"Rows by right label and by the label at the threshold {threshold:g}, with the share of "
            "the line.",
            key="confusion",
        )


def _curves(figures: LabelFigures, at: int, label: str) -> None:
    swept, name = figures.swept, label if len(label) < 30 else "the label"
    left, right = st.columns(2, gap="large")
    with left:
        series = {
            "precision": swept.precision,
            "recall": swept.recall,
            "F1": swept.f1,
            "accuracy": swept.accuracy,
        }
        show_chart(
            at_every_threshold(series, f"threshold of the probability of {name}", float(THRESHOLDS[at])),
            "Figures at every threshold",
            "The dotted line is the chosen threshold. Precision ends where no row gets the label any more.",
            key="sweep",
        )
    with right:
        show_chart(
            reliability_diagram(
                figures.bins, x_title=f"probability of {name}, %", y_title="rows with the label, %"
            ),
            "Are the probabilities right?",
            "Of the texts with a probability of 80 %, 80 % should have the label, as the dotted line says. "
            f"The mean gap is {100 * calibration_error(figures.bins):.1f} percentage points.",
            key="reliability",
        )
    if figures.ranked.has_both:
        _areas(figures, at)
    else:
        st.info(
            f"{'All rows have' if swept.positives else 'No row has'} the label {plain(label)}, so ROC, the "
            "precision-recall curve and their areas are not defined.",
            icon=":material/info:",
        )


def _areas(figures: LabelFigures, at: int) -> None:
    swept, ranked = figures.swept, figures.ranked
    recall = float(swept.recall[at])
    left, right = st.columns(2, gap="large")
    with left:
        show_chart(
            curve(
                *roc_curve(ranked),
                x_title="rows without the label that get it, %",
                y_title="rows with the label that get it, %",
                point=(int(swept.false_positives[at]) / swept.negatives, recall),
                chance=(0, 1),
            ),
            f"ROC, AUC {figures.roc_auc:.4f}",
            f"95 % interval: {_area(figures.roc_auc_interval)}. An area of 1 separates the labels perfectly, "
            "one of 0.5 not at all.",
            key="roc",
        )
    with right:
        base = swept.positives / (swept.positives + swept.negatives)
        show_chart(
            curve(
                *precision_recall_curve(ranked),
                x_title="recall, %",
                y_title="precision, %",
                point=(recall, float(swept.precision[at])),
                chance=(base, base),
            ),
            f"Precision and recall, AUC {figures.average_precision:.4f}",
            f"95 % interval: {_area(figures.average_precision_interval)}. The area is the average "
            f"precision; without knowledge it is {base:.4f}, the share of the rows that has the label.",
            key="precision-recall",
        )
    st.caption(
        "The intervals of the areas are of 1,000 resamples (bootstrap), with as many rows with and without "
        "the label as there are; those of shares are Wilson's."
    )


def _area(interval: Interval) -> str:
    if interval.low == interval.high:
        return "not known, because all resamples are alike"
    return f"{interval.low:.4f} to {interval.high:.4f}"


def _how_to_use(measured: Measured, place: int, threshold: float) -> None:
    labels = measured.rows.labels
    st.subheader("How to use it", anchor=False)
    if _has_several(measured):
        own = (measured.label_thresholds or {}).get(labels[place])
        now = "" if own is None else f", now {own:g}"
        st.markdown(
            f"A text has {plain(labels[place])} from the label's own threshold on{now}. It is part of the "
            "model, and `config.yaml` has no setting for it: `text-classifier import --thresholds` sets it. "
            "A `threshold` in a request is one for all labels. Or the client decides:"
        )
    elif len(labels) == 2:
        second = threshold if place == 1 else 1 - threshold
        now = "" if measured.model_threshold is None else f", now {measured.model_threshold:g}"
        st.markdown(
            f"Of two labels, the model answers the second one, {plain(labels[1])}, from its own threshold "
            f"on{now}. This choice makes it **{second:.3f}**. It is part of the model, and `config.yaml` has "
            "no setting for it: `text-classifier train` makes models with 0.5, and `text-classifier import` "
            "takes the `threshold` of a package (a joblib or pickle dict). Or the client decides:"
        )
    else:
        st.markdown(
            "Of more than two labels, the service answers the most probable one, and no setting changes "
            "that. The client can decide:"
        )
    st.code(snippets.decision(labels[place], threshold), language=None, wrap_lines=True)
