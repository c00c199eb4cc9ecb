"""What every page has: the service and the model that answer, and errors in words instead of stack traces."""

import logging
import uuid
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import streamlit as st

from classifier.schema import ModelInfo
from ui.client import Broken, Client, Overloaded, ServiceError, Unauthorized, Unreachable
from ui.jobs import JobError, Jobs
from ui.settings import settings

_log = logging.getLogger(__name__)

HASTY_SECONDS = 1.5

Given = ParamSpec("Given")

STATUS_SECONDS = 10
"""For so long the pages show the same state of the service."""

STYLE = Path(__file__).parent / "style.css"


ADVICE = {
    Unreachable: (
        "Start it with `make serve`, or set CLASSIFIER_URL to its address and start this client again."
    ),
    Overloaded: "Wait a moment and send it again.",
    Unauthorized: "Set CLASSIFIER_API_KEY and start this client again; `text-classifier key` makes a key.",
    Broken: "The log of the service says more.",
}


@st.cache_resource
def client() -> Client:
    """The client that all visitors share; it tries again for some seconds."""
    return Client(settings())


@st.cache_resource
def hasty_client() -> Client:
    """A client for what every page shows: it neither tries again nor waits for a service that hangs."""
    return Client(settings(), patience_seconds=0, answer_seconds=HASTY_SECONDS)


@st.cache_resource
def jobs() -> Jobs:
    """The jobs of all visitors."""
    return Jobs(settings())


@st.cache_data(ttl=STATUS_SECONDS, show_spinner=False)
def current_model() -> ModelInfo | str:
    """The model that answers, or sentences that say why none does. It is asked once, without patience."""
    try:
        return hasty_client().model_info().value
    except ServiceError as error:
        return f"{error} {_advice(error)}"


def remember_pages(pages: Sequence[st.Page]) -> None:
    """Let `link_to` know the pages of this visit."""
    st.session_state["pages"] = {page.url_path: page for page in pages}


def link_to(page: str, label: str, **query: str) -> None:
    """Show a link to another page."""
    pages: dict[str, st.Page] = st.session_state.get("pages", {})
    if page in pages:
        st.page_link(pages[page], label=label, icon=":material/arrow_forward:", query_params=query)


def show_error(error: ServiceError) -> None:
    """Show what went wrong, and what to do about it."""
    advice = _advice(error)
    # Two spaces end a line in Markdown; the error itself is shown as plain text.
    st.error(f"{plain(str(error))}  \n{advice}", icon=":material/error:")


def _advice(error: ServiceError) -> str:
    return next((text for kind, text in ADVICE.items() if isinstance(error, kind)), "")


def plain(text: str) -> str:
    """Return Markdown that shows the text as it is."""
    escaped = "".join(f"\\{character}" if character in _MARKDOWN else character for character in text)
    return " ".join(escaped.split())


_MARKDOWN = frozenset("\\`*_{}[]<>()#+-.!|~$:&")


def framed(show: Callable[[], None]) -> Callable[[], None]:
    """Return the page with the frame around it."""

    name = show.__module__.rpartition(".")[2]

    def page() -> None:
        st.session_state["entered"] = st.session_state.get("page") != name
        st.session_state["page"] = name
        st.html(STYLE)
        _sidebar()
        _in_words(show)()

    page.__name__ = name
    return page


def is_entered() -> bool:
    """Whether the visitor came to this page just now, from another page or from outside."""
    return bool(st.session_state.get("entered", True))


def fragment(show: Callable[Given, None], every: float | None = None) -> Callable[Given, None]:
    """Return a part of a page that runs alone if one of its widgets changes, and `every` so many seconds."""
    part: Callable[Given, None] = st.fragment(_in_words(show), run_every=every)
    return part


def _in_words(show: Callable[Given, None]) -> Callable[Given, None]:
    """Return a function that shows errors as sentences, and writes the unexpected ones to the log."""

    @wraps(show)
    def shown(*arguments: Given.args, **more: Given.kwargs) -> None:
        try:
            show(*arguments, **more)
        except ServiceError as error:
            show_error(error)
        except JobError as error:
            st.error(plain(str(error)), icon=":material/error:")
        except Exception as error:
            if type(error).__module__.startswith("streamlit."):
                raise  # Streamlit's own: to stop or to run the script again
            number = uuid.uuid4().hex[:8]
            _log.exception("error %s on the page %s", number, show.__module__)
            st.error(
                f"This page has failed, which is a fault of this client. Its log has the reason, "
                f"as error {number}. Nothing that was classified is lost; reload the page to go on.",
                icon=":material/error:",
            )

    return shown


def _sidebar() -> None:
    with st.sidebar:
        found = current_model()
        if isinstance(found, str):
            st.markdown("**The service does not answer**")
        else:
            st.markdown(f"**{plain(found['name'])}**")
            st.caption(
                f"version {plain(found['version'])}  \n{len(found['classes'])} classes, "
                f"{plain(found['model_type'])}  \nat {plain(settings().address)}"
            )
    if isinstance(found, str):
        st.warning(plain(found), icon=":material/cloud_off:")
