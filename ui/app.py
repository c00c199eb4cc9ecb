"""The web client as `streamlit run ui/app.py` starts it: the pages, and the files that they offer."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import streamlit as st
from pydantic import ValidationError
from starlette.middleware import Middleware

# `streamlit run` puts this folder on the path instead of the project's.
sys.path.insert(0, str(Path(__file__).parent.parent))

from classifier.validation import first_error
from ui.downloads import DOWNLOADS
from ui.headers import WithHeaders
from ui.jobs import Jobs
from ui.settings import settings

try:
    settings()
except ValidationError as error:
    broken = first_error(error)
    sys.exit(f"error: CLASSIFIER_{broken.place.upper()} is {broken.value!r}: {broken.rule}")


@asynccontextmanager
async def _going_on(_: st.App) -> AsyncIterator[None]:
    """Let jobs go on that ran when the web client stopped, and load the pages for the first visitor."""
    Jobs(settings()).recover()
    for view in ("batch", "classify", "model", "service", "thresholds"):
        import_module(f"ui.views.{view}")
    yield


app = st.App("pages.py", routes=[DOWNLOADS], middleware=[Middleware(WithHeaders)], lifespan=_going_on)
