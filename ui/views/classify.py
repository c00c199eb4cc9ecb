"""The page that classifies one text, or two side by side."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from textwrap import shorten
from urllib.parse import quote

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from classifier.schema import EXAMPLE_TEXTS, ExplanationAnswer, PredictionAnswer, RankedLabel
from ui import snippets
from ui.client import Answer, Rejected
from ui.explanation import LISTED, show_explanation
from ui.frame import client, current_model, is_entered, plain, show_error
from ui.labels import in_words, label_thresholds
from ui.markup import percent, probability_bars, threshold_bars
from ui.settings import settings

EXAMPLES = [*EXAMPLE_TEXTS, "Not bad, but not for me.", "Great cast, but the story goes nowhere."]

MAX_LINK_BYTES = 4000
"""A longer text is not in the address of the page, because servers and chat programs cut long addresses."""

EXAMPLE_CHARS = 34
"""Most characters of an example on its button."""

MAX_HISTORY = 50
ONE_THRESHOLD = "one-threshold"
"""The key of the switch that replaces the thresholds of all labels by one."""

MANY_LABELS = 8
"""From so many labels on, only the most probable ones are shown at first."""


@dataclass(frozen=True)
class _Visited:
    """A text that was classified in this visit."""

    text: str
    label: str
    """All labels, if the text can have several."""
    confidence: float


def show() -> None:
    """Classify the text of the box, which is also in the address of the page."""
    st.title("Classify a text")
    _read_address()
    texts = _boxes()
    _controls()
    threshold = _threshold()
    _write_address(texts, threshold)
    if len(texts) == 1:
        # The table of several labels has a column more, for the thresholds.
        widths = [2, 3] if label_thresholds(current_model()) is None else [1, 1]
        _classified("text", texts["text"], threshold, st.columns(widths, gap="large"))
    else:
        for column, (name, text) in zip(st.columns(2, gap="large"), texts.items(), strict=True):
            _classified(name, text, threshold, (column, column))
    _history()


def _read_address() -> None:
    """Fill the boxes from the address, if it is not what this page has written into it.

    So they follow a link and the browser's buttons. Who comes from another page finds the texts of before.
    """
    given = st.query_params.to_dict()
    if given == st.session_state.get("address") or (
        not given and is_entered() and "text" in st.session_state
    ):
        return
    st.session_state["pair"] = "other" in given
    for name in ("text", "other"):
        st.session_state[name] = given.get(name, "")
    try:
        st.session_state["threshold"] = min(1.0, max(0.0, float(given.get("threshold", ""))))
        st.session_state[ONE_THRESHOLD] = True
    except ValueError:
        model = current_model()
        st.session_state["threshold"] = 0.5 if isinstance(model, str) else float(model["threshold"])
        st.session_state[ONE_THRESHOLD] = False


def _write_address(texts: Mapping[str, str], threshold: float | None) -> None:
    fits = sum(len(quote(text)) for text in texts.values()) <= MAX_LINK_BYTES
    values = {name: text for name, text in texts.items() if text} if fits else {}
    if values and threshold is not None:
        values["threshold"] = f"{threshold:g}"
    if st.query_params.to_dict() != values:
        st.query_params.from_dict(values)
    st.session_state["address"] = values
    if not fits:
        st.caption("The text is too long for a link, so the address of this page does not have it.")


def _boxes() -> dict[str, str]:
    """The texts of the boxes by name: "text", and "other" if two are compared."""
    names = {"text": "Text"}
    if st.session_state["pair"]:
        names["other"] = "Other text"
    columns = st.columns(len(names), gap="large")
    return {
        name: _box(column, name, label) for column, (name, label) in zip(columns, names.items(), strict=True)
    }


def _box(place: DeltaGenerator, name: str, label: str) -> str:
    value = place.text_area(
        label,
        key=name,
        height=140,
        placeholder="Write or paste a text, then press Ctrl+Enter",
        persist_state="session",
    )
    return (value or "").strip()


def _controls() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Classify", type="primary")
        for place, example in enumerate(EXAMPLES):
            shown = shorten(example, EXAMPLE_CHARS, placeholder=" …")
            st.button(shown, key=f"example-{place}", help=example, on_click=_fill, args=(example,))
        st.toggle("Two texts side by side", key="pair", persist_state="session")


def _fill(text: str) -> None:
    st.session_state["text"] = text


def _threshold() -> float | None:
    """The threshold of the slider; None if each label keeps its own."""
    has_several_labels = label_thresholds(current_model()) is not None
    if has_several_labels and not st.toggle(
        "One threshold for all labels instead of the model's own",
        key=ONE_THRESHOLD,
        persist_state="session",
    ):
        return None
    st.session_state.setdefault("threshold", 0.5)  # a slider that was not shown for a while has none
    value: float = st.slider(
        "Threshold: the text has each label from this probability on"
        if has_several_labels
        else "Threshold: an answer with less confidence is “uncertain”",
        0.0,
        1.0,
        step=0.01,
        key="threshold",
        persist_state="session",
    )
    return value


def _classified(
    name: str, text: str, threshold: float | None, places: Sequence[AbstractContextManager[object]]
) -> None:
    """Show the answer in the first place and its explanation in the second, which can be the same."""
    what, why = places
    if not text:
        with what:
            st.caption("Nothing to classify yet. Write a text above, or take one of the examples.")
        return
    with what:
        try:
            with st.spinner("The service classifies the text", show_time=True):
                answer = client().predict(text, threshold)
        except Rejected as error:
            show_error(error)
            return
        prediction = answer.value
        _remember(prediction)
        for warning in prediction.get("warnings", []):
            st.warning(plain(warning), icon=":material/info:")
        if "labels" in prediction:
            _labels(prediction, prediction["labels"])
        else:
            _decision(prediction)
        _probabilities(prediction, name, threshold)
        st.caption(_times(answer))
    with why:
        st.header("Why", anchor=False)
        with st.spinner("The service explains the text", show_time=True):
            explanation = _explained(text, prediction, name)
        if explanation:
            show_explanation(explanation)
    with what:
        st.header("The same request", anchor=False)
        _request(text, threshold)


def _decision(prediction: PredictionAnswer) -> None:
    final = prediction.get("final_prediction", prediction["label"])
    is_certain = final == prediction["label"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.metric("Answer", plain(final), width="content")
        confidence = percent(prediction["confidence"])
        st.metric(f"Confidence in {plain(prediction['label'])}", confidence, width="content")
    if not is_certain:
        st.markdown(
            f"The most probable label is {plain(prediction['label'])}. {plain(prediction.get('reason', ''))}."
        )


def _labels(prediction: PredictionAnswer, labels: Sequence[str]) -> None:
    """Say which labels the text has, if it can have several."""
    probabilities = prediction.get("probabilities", {})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not labels:
            st.metric("Labels", "none", width="content")
        for label in labels[:MANY_LABELS]:
            st.metric(plain(label), percent(probabilities.get(label, 0.0)), width="content")
    if labels:
        st.markdown(f"The text has {len(labels)} of {len(probabilities)} labels: {plain(in_words(labels))}.")
    else:
        st.markdown(
            "The text has no label, because no probability reaches its threshold. The most probable label is "
            f"{plain(prediction['label'])}, with {percent(prediction['confidence'])}."
        )


def _probabilities(prediction: PredictionAnswer, name: str, threshold: float | None) -> None:
    probabilities = prediction.get("probabilities", {})
    ranked = sorted(
        (RankedLabel(label=label, probability=value) for label, value in probabilities.items()),
        key=lambda one: -one["probability"],
    )
    count = len(ranked)
    if count > MANY_LABELS:
        count = st.slider("Labels shown", 1, len(ranked), MANY_LABELS, key=f"top-{name}")
    if "labels" not in prediction:
        st.html(probability_bars(ranked[:count]))
        return
    own = label_thresholds(current_model()) or {}
    thresholds = own if threshold is None else dict.fromkeys(probabilities, threshold)
    is_known = thresholds.keys() >= probabilities.keys()
    st.html(threshold_bars(ranked[:count], thresholds) if is_known else probability_bars(ranked[:count]))
    st.caption("Each label has a probability of its own, so together they can be more or less than 100 %.")


def _explained(text: str, prediction: PredictionAnswer, name: str) -> ExplanationAnswer | None:
    labels = list(prediction.get("probabilities", {})) or [prediction["label"]]
    label = prediction["label"]
    if len(labels) > 1:
        # The key has the predicted label, so that another text begins with its own.
        chosen = st.selectbox("Explain the label", labels, labels.index(label), key=f"label-{name}-{label}")
        label = chosen or label
    # The slider runs the page again, and an explanation of a network takes hundreds of runs of the model.
    model = current_model()
    asked = (text, label, None if isinstance(model, str) else model["digest"])
    kept: tuple[object, ExplanationAnswer] | None = st.session_state.get(f"explained-{name}")
    if kept and kept[0] == asked:
        return kept[1]
    try:
        explanation = client().explain(text, label, LISTED).value
    except Rejected as error:
        show_error(error)
        return None
    st.session_state[f"explained-{name}"] = (asked, explanation)
    return explanation


def _times(answer: Answer[PredictionAnswer]) -> str:
    whole = f"{1000 * answer.seconds:.1f} ms from sending the request to the whole answer"
    if "queue" not in answer.timing:
        return (
            f"{whole}. With the setting `api.server_timing` the service also says how long the queue "
            "and the model took."
        )
    queue, model = answer.timing["queue"], answer.timing["tokens"] + answer.timing["model"]
    return f"{whole}, of which {1000 * queue:.2f} ms in the queue and {1000 * model:.2f} ms in the model"


def _request(text: str, threshold: float | None) -> None:
    body: dict[str, object] = {"text": text} if threshold is None else {"text": text, "threshold": threshold}
    tabs = st.tabs(["curl", "Python", "BentoML"])
    for tab, write in zip(tabs, (snippets.curl, snippets.python, snippets.bentoml), strict=True):
        # Without a language, because the colours of Streamlit's highlighting have too little contrast.
        tab.code(write(settings(), body), language=None, wrap_lines=True)


def _remember(prediction: PredictionAnswer) -> None:
    history: list[_Visited] = st.session_state.setdefault("history", [])
    label = in_words(prediction["labels"]) if "labels" in prediction else prediction["label"]
    visited = _Visited(prediction["text"], label, prediction["confidence"])
    if visited in history:
        history.remove(visited)
    history.insert(0, visited)
    del history[MAX_HISTORY:]


def _history() -> None:
    history: list[_Visited] = st.session_state.get("history", [])
    if not history:
        return
    with st.expander(f"Texts of this visit ({len(history)})"):
        st.caption(
            "Select a row to classify its text again. The list ends with this visit; nobody else sees it."
        )
        selected = st.dataframe(
            {
                "text": [one.text for one in history],
                "label": [one.label for one in history],
                "confidence": [100 * one.confidence for one in history],
            },
            hide_index=True,
            height="content" if len(history) < 10 else 320,
            key=f"visited-{len(history)}-{hash(history[0])}",
            on_select="rerun",
            selection_mode="single-row",
            column_config={"confidence": st.column_config.NumberColumn(format="%.1f %%")},
        )
        rows = selected["selection"]["rows"]
        if rows and history[rows[0]].text != st.session_state.get("text"):
            st.button("Classify this text again", on_click=_fill, args=(history[rows[0]].text,))
