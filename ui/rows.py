"""A table of rows of which one can be selected, and why the selected one has its label."""

from collections.abc import Mapping, Sequence

import streamlit as st

from ui.client import ServiceError
from ui.explanation import show_explanation
from ui.frame import client, show_error

SHOWN_CHARS = 300
"""Most characters of a text in a table."""

MANY_ROWS = 12
"""From so many rows on, a table has a fixed height and scrolls."""


def shown_text(text: str) -> str:
    """The beginning of a text on one line."""
    return " ".join(text[:SHOWN_CHARS].split())


def select_row(columns: Mapping[str, Sequence[object]], *, key: str, alt: str) -> int | None:
    """Show a table with "row", "text" and "confidence" or "probability" (in percent) among others.

    Returns the index of the row that is selected.
    """
    count = len(columns["row"])
    selected = st.dataframe(
        columns,
        hide_index=True,
        height="content" if count < MANY_ROWS else 430,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "row": st.column_config.NumberColumn(width="small", format="%d"),
            "text": st.column_config.TextColumn(width="large"),
            "confidence": st.column_config.NumberColumn(format="%.1f %%", width="small"),
            "probability": st.column_config.NumberColumn(format="%.1f %%", width="small"),
        },
        alt=alt,
    )
    places = selected["selection"]["rows"]
    return places[0] if places and places[0] < count else None


def explain_text(text: str, label: str | None = None) -> None:
    """Ask the service why a text has a label, by default the predicted one, and show it."""
    try:
        with st.spinner("The service explains the text", show_time=True):
            explanation = client().explain(text, label).value
    except ServiceError as error:
        show_error(error)
        return
    show_explanation(explanation)
