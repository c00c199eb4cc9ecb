"""Shows why a text has its label: the coloured text, the strongest parts, and their sum."""

import streamlit as st

from classifier.schema import ExplanationAnswer
from ui.frame import plain
from ui.markup import coloured_text, contribution_table, legend

LISTED = 10
"""How many contributions are listed."""

_UNITS = {"n-gram": "word groups", "word": "words", "sentence": "sentences"}


def show_explanation(explanation: ExplanationAnswer) -> None:
    """Show an explanation, without the prediction that it contains."""
    if not explanation["words"]:
        st.caption("The model reads no word in this text, so there is nothing to explain.")
        return
    st.html(legend(explanation["explained_label"], explanation["compared_with"]))
    st.html(coloured_text(explanation))
    st.caption(
        "Point at a word to see what it adds to the score. If the model marks negated words, the “bad” of "
        "“not bad” counts as another word than “bad”."
        if explanation["method"] == "exact"
        else "Point at a word to see what it adds to the score."
    )
    st.html(contribution_table(explanation["contributions"]))
    st.markdown(_sum(explanation))


def _sum(explanation: ExplanationAnswer) -> str:
    listed = sum(one["contribution"] for one in explanation["contributions"])
    remainder = explanation["remainder"]
    parts = [
        f"{explanation['bias']:+.4f} from no word",
        f"{listed:+.4f} from these {_UNITS[explanation['unit']]}",
        f"{remainder['contribution']:+.4f} from {remainder['count']} others",
    ]
    if explanation["method"] != "exact":
        parts.append(f"{explanation['interaction']:+.4f} from parts together")
    label = plain(explanation["explained_label"])
    sentence = (
        f"{', '.join(parts)}: together **{explanation['score']:+.4f}**, the score of {label} "
        "(its log-odds before calibration)."
    )
    faithfulness = explanation.get("faithfulness")
    if faithfulness:
        sentence += (
            f" Without the strongest parts its probability falls by {faithfulness['comprehensiveness']:.2f} "
            f"(high is good), with only them by {faithfulness['sufficiency']:.2f} (low is good)."
        )
    return sentence
