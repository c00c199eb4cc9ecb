"""The page that describes the model that answers."""

import re
from collections.abc import Mapping

import streamlit as st

from classifier.schema import ModelInfo
from ui.frame import client, plain
from ui.labels import label_thresholds

FIGURES = {
    "accuracy": ("Accuracy", "share of the texts with the right label", 100.0, " %", 2),
    "roc_auc": ("ROC AUC", "1 separates the labels perfectly, 0.5 not at all", 1.0, "", 4),
    "log_loss": ("Log loss", "mean of -log(probability of the right label); low is good", 1.0, "", 4),
    "ece": ("ECE", "mean gap between confidence and accuracy; low is good", 1.0, "", 4),
}
"""The figures of a manifest that are shown large: name, meaning, factor, unit, digits."""

PARTS = {
    "test": "On the test texts",
    "short_test": "On the short test texts",
    "validation": "On the held-out texts",
    "short_validation": "On the held-out short texts",
}
"""The prefixes of figures in a manifest, best first. The page shows the first two that the model has."""

_HEADING = re.compile(r"^(#+) ", re.MULTILINE)


def show() -> None:
    """Show what the model is, how good it is, and its card."""
    st.title("Model")
    info = client().model_info().value
    st.markdown(f"**{plain(info['name'])}**")
    _figures(info["metrics"])
    st.header("What it is", anchor=False)
    st.table(_facts(info), border="horizontal", hide_header=True)
    _card()


def _figures(metrics: Mapping[str, float]) -> None:
    found = [prefix for prefix in PARTS if f"{prefix}_accuracy" in metrics][:2]
    if not found:
        st.info(
            "The model carries no figures, because it was imported and not trained here. "
            "The page Thresholds measures it on a file with the right labels."
        )
    for prefix in found:
        st.header(PARTS[prefix], anchor=False)
        columns = st.columns(len(FIGURES))
        for column, (name, (title, meaning, factor, unit, digits)) in zip(
            columns, FIGURES.items(), strict=True
        ):
            value = metrics.get(f"{prefix}_{name}")
            shown = "not measured" if value is None else f"{factor * value:.{digits}f}{unit}"
            column.metric(title, shown, help=meaning)


def _facts(info: ModelInfo) -> dict[str, str]:
    trained_on = info["trained_on"]
    return {
        "Labels": plain(", ".join(info["classes"])),
        "Kind": plain(info["model_type"]),
        "Version": plain(info["version"]),
        "Digest (SHA-256)": plain(info["digest"]),
        "Trained on": f"{trained_on['rows']:,} texts of {plain(trained_on['name'])}"
        if trained_on
        else "not known",
        "Reads of a text": f"at most {info['max_input_length']:,} tokens",
        **_thresholds(info),
        "Runs on": plain(info["device"]),
    }


def _thresholds(info: ModelInfo) -> dict[str, str]:
    thresholds = label_thresholds(info)
    if thresholds is None:
        return {
            "Threshold of the second label": f"{info['threshold']:g}" if info["num_classes"] == 2 else "none"
        }
    listed = (f"{label} {threshold:g}" for label, threshold in thresholds.items())
    return {"Labels of a text": "several, or none", "Thresholds of the labels": plain(", ".join(listed))}


def _card() -> None:
    st.divider()
    card = client().model_card()
    if not card.strip():
        st.caption("The model has no card.")
        return
    # The card's own title becomes a heading of this page, and it cannot load pictures from other hosts.
    st.markdown(_HEADING.sub(r"#\1 ", card).replace("![", "!\\["))
