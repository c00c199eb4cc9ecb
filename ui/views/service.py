"""The page that shows how the service does now."""

import re
from collections.abc import Mapping, Sequence
from math import isnan

import streamlit as st

from classifier.schema import DriftAnswer, FeatureDrift
from serving.routes import ROUTES
from serving.telemetry.catalogue import (
    BATCH_TEXTS,
    PREDICTIONS,
    QUEUE_TEXTS,
    REFUSALS,
    REQUEST_DURATION,
    REQUESTS,
    SATURATION,
    STATUS_CLASSES,
)
from ui.charts import bars, lines, show_chart
from ui.client import ServiceError
from ui.frame import current_model, fragment, hasty_client, plain, show_error
from ui.labels import label_thresholds
from ui.markup import percent
from ui.measurements import History, Sample, Span, spans
from ui.settings import settings

REFRESH_SECONDS = 5
RECENT_SAMPLES = 13
"""The numbers at the top are of the last samples only: about a minute."""

PREDICTING = tuple(route.path for route in ROUTES if route.is_for_model)

DRIFT_STATUS = {
    "no reference": "The model has no counts of its held-out texts, so nothing can be compared.",
    "collecting": "Too few texts were classified since the start to compare them.",
    "quiet": "The last texts are like the held-out texts of the model.",
    "drifted": "The last texts differ from the held-out texts of the model.",
}
FEATURES = {
    "label": ("Predicted labels", "label"),
    "confidence": ("Confidence", "probability of the predicted label"),
    "unknown_share": ("Words that the model does not know", "share of the words"),
    "characters": ("Length of the texts", "characters"),
}
"""The features of a comparison with their title and unit, in the order of the page."""

OF_SEVERAL = {
    "label": ("Most probable labels", "label"),
    "confidence": ("Confidence", "probability of the most probable label"),
}
"""The same of a model that can give a text several labels."""

MANY_LABELS = 12
"""From so many labels on, their table is as high as these and scrolls."""

_NUMBER = re.compile(r"\d+\.\d+")

_GONE = """\
**What to do now**

1. Is it started? Look at `make serve`, at `docker compose ps`, or at `kubectl get pods`.
2. Is the address right? This client asks **{address}**, which CLASSIFIER_URL names.
3. What does its log say? A service that cannot start says why in one sentence.

Batch jobs wait and go on by themselves; this page asks again every {seconds} seconds."""


@st.cache_resource
def _history() -> History:
    return History(lambda: hasty_client().metrics())


def show() -> None:
    """Show the state, which is refreshed."""
    st.title("The service now")
    fragment(_refreshed, REFRESH_SECONDS)()


def _refreshed() -> None:
    try:
        health = hasty_client().health().value
        info = hasty_client().service_info().value
    except ServiceError as error:
        show_error(error)
        st.markdown(_GONE.format(address=plain(settings().address), seconds=REFRESH_SECONDS))
        return
    ready = "ready" if health["model_loaded"] else "not ready"
    st.markdown(
        f"{plain(info['name'])} {plain(info['version'])} at {plain(settings().address)} is **{ready}** "
        f"({plain(info['status'])}, on {plain(health['device'])})."
    )
    thresholds = label_thresholds(current_model())
    if thresholds is not None:
        _thresholds(thresholds)
    try:
        samples = _history().refresh()
    except ServiceError as error:
        st.info(
            f"The metrics are not shown: {plain(str(error))} Behind a gateway they are not exposed; inside "
            "the cluster they are."
        )
    else:
        _measured(samples)
    try:
        drift = hasty_client().drift().value
    except ServiceError as error:
        show_error(error)
    else:
        _drift(drift, has_several_labels=thresholds is not None)


def _thresholds(thresholds: Mapping[str, float]) -> None:
    st.markdown(
        "A text can have several labels, or none: it has each label whose probability is at or above the "
        "threshold of the label."
    )
    st.table(
        {
            "label": [plain(label) for label in thresholds],
            "threshold": [f"{threshold:g}" for threshold in thresholds.values()],
        },
        hide_index=True,
        border="horizontal",
        height="content" if len(thresholds) < MANY_LABELS else 430,
        width="content",
        alt="The threshold of each label",
    )


def _measured(samples: Sequence[Sample]) -> None:
    latest = samples[-1]
    if len(samples) < 2:
        st.caption(f"The first rates are there in {REFRESH_SECONDS} seconds.")
        return
    _numbers(Span(samples[-RECENT_SAMPLES:][0], latest), latest)
    _over_time(samples)
    _refusals(Span(samples[0], latest), latest)


def _numbers(recent: Span, latest: Sample) -> None:
    st.markdown(
        f"Since its start it has answered {latest.value(REQUESTS.name, route=PREDICTING):,.0f} requests to "
        f"the model and classified {latest.value(PREDICTIONS.name):,.0f} texts."
    )
    answered = recent.increase(REQUESTS.name, route=PREDICTING)
    failed = recent.increase(REQUESTS.name, route=PREDICTING, status_class=("5xx",))
    st.caption(
        f"The last {recent.seconds:.0f} seconds, as far as somebody has looked at this page. Requests are "
        "those to the model; the numbers are of one replica of the service, the one that answers this client."
    )
    shown = [
        ("Requests per second", f"{answered / recent.seconds:,.1f}", "answered requests to the model"),
        *(
            (
                f"p{100 * share:.0f} of the time",
                _milliseconds(recent.quantile(REQUEST_DURATION, share, route=PREDICTING)),
                meaning,
            )
            for share, meaning in (
                (0.5, "half of the successful answers took less"),
                (0.95, "95 % of the successful answers took less"),
                (0.99, "99 % of the successful answers took less"),
            )
        ),
        ("Texts in the queue", f"{latest.value(QUEUE_TEXTS.name):,.0f}", "texts that wait for the model now"),
        ("Texts per batch", _number(recent.mean(BATCH_TEXTS)), "mean of the model's runs"),
        ("Failed", percent(failed / answered) if answered else "none", "requests that ended with 5xx"),
    ]
    with st.container(horizontal=True, gap="medium"):
        for title, value, meaning in shown:
            st.metric(title, value, help=meaning, width="content")


def _over_time(samples: Sequence[Sample]) -> None:
    end = samples[-1].at
    times = [span.end.at - end for span in spans(samples)]
    since = "seconds before now"
    left, right = st.columns(2, gap="large")
    with left:
        by_status = {
            name: [span.rate(REQUESTS, route=PREDICTING, status_class=(name,)) for span in spans(samples)]
            for name in STATUS_CLASSES
        }
        shown = {name: values for name, values in by_status.items() if name == "2xx" or any(values)}
        show_chart(
            lines(times, shown, x_title=since, y_title="requests / s"),
            "Requests per second",
            "Requests to the model by the class of their status: 2xx succeeded, 4xx were the client's fault.",
            key="requests",
        )
    with right:
        quantiles = {
            f"p{100 * share:.0f}": [
                1000 * span.quantile(REQUEST_DURATION, share, route=PREDICTING) for span in spans(samples)
            ]
            for share in (0.5, 0.95, 0.99)
        }
        show_chart(
            lines(times, quantiles, x_title=since, y_title="ms"),
            "Time of an answer",
            "From the whole request to the whole answer, of successful answers. 99 % stayed below p99.",
            key="latency",
        )
    left, right = st.columns(2, gap="large")
    with left:
        waiting = [sample.value(QUEUE_TEXTS.name) for sample in samples]
        show_chart(
            lines(
                [sample.at - end for sample in samples], {"texts": waiting}, x_title=since, y_title="texts"
            ),
            "Texts in the queue",
            "Texts that waited for the model at the moment of each sample.",
            key="queue",
        )
    with right:
        run_together = [span.mean(BATCH_TEXTS) for span in spans(samples)]
        show_chart(
            lines(times, {"texts": run_together}, x_title=since, y_title="texts"),
            "Texts per batch",
            "How many texts the model ran together, on average.",
            key="batches",
        )


def _refusals(whole: Span, latest: Sample) -> None:
    st.header("Refusals", anchor=False)
    refused = {
        reason: count
        for reason in latest.by(REFUSALS)
        if (count := whole.increase(REFUSALS.name, reason=(reason,)))
    }
    used = {resource: share for resource, share in latest.by(SATURATION).items() if share >= 0.01}
    if refused:
        reasons = [plain(name.replace("_", " ")) for name in refused]
        counts = [f"{count:,.0f}" for count in refused.values()]
        st.table({"reason": reasons, "requests": counts}, hide_index=True)
    else:
        st.caption(f"None in the last {whole.seconds:.0f} seconds.")
    if used:
        parts = [f"{plain(name.replace('_', ' '))} {percent(share)}" for name, share in used.items()]
        st.caption(f"Used of what is bounded: {', '.join(parts)}. At 100 % requests are refused.")


def _drift(drift: DriftAnswer, *, has_several_labels: bool) -> None:
    st.header("Now against training", anchor=False)
    status = DRIFT_STATUS.get(drift["status"], plain(drift["status"]))
    texts = f"The last {drift['texts']:,} texts are compared with {drift['reference_texts']:,} held-out ones."
    if drift["status"] == "drifted":
        st.warning(f"{status} {texts}", icon=":material/warning:")
    else:
        st.markdown(f"{status} {texts}")
    by_name = {feature["feature"]: feature for feature in drift["features"]}
    features = [by_name[name] for name in FEATURES if name in by_name]
    if not drift["texts"]:
        return
    titles = {**FEATURES, **OF_SEVERAL} if has_several_labels else FEATURES
    for start in range(0, len(features), 2):
        for column, feature in zip(st.columns(2, gap="large"), features[start : start + 2], strict=False):
            with column:
                _feature(feature, titles[feature["feature"]])


def _feature(feature: FeatureDrift, title_and_unit: tuple[str, str]) -> None:
    name = feature["feature"]
    title, unit = title_and_unit
    bins = feature["bins"]
    show_chart(
        bars(
            [_NUMBER.sub(lambda number: f"{float(number[0]):.4g}", one["bin"]) for one in bins],
            {
                "held-out texts": [100 * one["reference"] for one in bins],
                "last texts": [100 * one["window"] for one in bins],
            },
            x_title=unit,
            y_title="% of the texts",
        ),
        f"{title}: differs" if feature["alarm"] else title,
        f"Population stability index {feature['psi']:.3f}: "
        f"{'this feature differs' if feature['alarm'] else 'no difference that matters'}.",
        key=f"drift-{name}",
    )


def _milliseconds(seconds: float) -> str:
    return "no requests" if isnan(seconds) else f"{1000 * seconds:,.1f} ms"


def _number(value: float) -> str:
    return "no runs" if isnan(value) else f"{value:,.1f}"
