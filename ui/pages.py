"""The navigation between the pages, and nothing else."""

from pathlib import Path

import streamlit as st

from ui.frame import framed, remember_pages
from ui.views import batch, classify, model, service, thresholds

PAGES = [
    st.Page(
        framed(classify.show),
        title="Classify",
        icon=":material/edit_note:",
        url_path="classify",
        default=True,
    ),
    st.Page(framed(batch.show), title="Batch", icon=":material/table_rows:", url_path="batch"),
    st.Page(framed(thresholds.show), title="Thresholds", icon=":material/tune:", url_path="thresholds"),
    st.Page(framed(model.show), title="Model", icon=":material/description:", url_path="model"),
    st.Page(framed(service.show), title="Service", icon=":material/monitor_heart:", url_path="service"),
]

st.set_page_config(
    page_title="Text classifier", page_icon=str(Path(__file__).parent / "icon.svg"), layout="wide"
)
remember_pages(PAGES)
st.navigation(PAGES).run()
