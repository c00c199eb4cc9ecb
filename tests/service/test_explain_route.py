"""POST /predict/explain: places in the text as it was sent, sums that a client can check, and networks."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from asking import broken_rules, post
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import recorder
from starlette.testclient import TestClient
from tiny_network import network_artifact

from classifier.answers import explanation_answer
from classifier.batching.admission import Admission, Stage
from classifier.errors import DeadlinePassed, QueueFull
from classifier.explain.explain import explain_text
from classifier.pipeline import Classifier
from classifier.schema import MAX_CONTRIBUTIONS, MAX_TEXTS, ExplainRequest, PredictRequest
from serving.in_process import new_batcher
from serving.request.endpoints import predict, predict_explain
from serving.running import MAX_OCCLUSIONS, RunningService
from serving.telemetry.exchange import Exchange

PATH = "/predict/explain"
GOOD = "A wonderful, moving film with great acting."
MIXED = "\n  Not BAD at all.<br />The cafe\u0301 scene wasn't boring \u2014 \U0001f600 not bad!  "


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = post(client, PATH, fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def added_up(answer: dict[str, Any]) -> float:
    """What a client adds up from the answer alone."""
    shown = sum(one["contribution"] for one in answer["contributions"])
    return answer["bias"] + shown + answer["remainder"]["contribution"] + answer["interaction"]


def test_the_answer_has_the_fields_of_a_prediction_and_of_the_explanation(client: TestClient) -> None:
    answer = ask(client, text=GOOD)
    prediction = post(client, "/predict", {"text": GOOD}).json()
    assert {name: answer[name] for name in prediction} == prediction
    assert list(answer)[len(prediction) :] == [
        *("explained_label", "method", "unit", "compared_with", "score", "bias", "contributions"),
        *("remainder", "interaction", "words", "calibration"),
    ]
    assert (answer["method"], answer["unit"], answer["compared_with"]) == (
        "exact",
        "n-gram",
        "the other label",
    )


@pytest.mark.parametrize("label", ["negative", "positive"])
@pytest.mark.parametrize("top", [1, 3, MAX_CONTRIBUTIONS])
@pytest.mark.parametrize(
    "text", [GOOD, MIXED, "xyzzyq", "word " * 1000 + "awful"], ids=["good", "mixed", "strange", "long"]
)
def test_a_client_can_add_the_answer_up(client: TestClient, text: str, top: int, label: str) -> None:
    answer = ask(client, text=text, top=top, label=label)
    assert added_up(answer) == pytest.approx(answer["score"], abs=1e-9)
    shares = sum(word["share"] for word in answer["words"])
    assert answer["bias"] + shares + answer["interaction"] == pytest.approx(answer["score"], abs=1e-9)
    logit = answer["calibration"]["scale"] * answer["score"] + answer["calibration"]["bias"]
    assert answer["probabilities"][label] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-9)


@settings(max_examples=30)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
def test_a_client_can_add_up_the_answer_to_any_text(client: TestClient, text: str) -> None:
    answer = ask(client, text=text)
    assert added_up(answer) == pytest.approx(answer["score"], abs=1e-9)
    assert answer["text"] == text


def test_places_are_in_the_text_as_it_was_sent(client: TestClient) -> None:
    answer = ask(client, text=MIXED, top=MAX_CONTRIBUTIONS)
    assert answer["text"] == MIXED
    assert [MIXED[word["start"] : word["end"]] for word in answer["words"]] == [
        *("Not", "BAD", "at", "all", "The", "cafe\u0301", "scene", "wasn", "t", "boring", "not", "bad"),
    ]
    for one in answer["contributions"]:
        start, end = one["places"][0]
        assert MIXED[start:end] == one["text"]
    (bad,) = (one for one in answer["contributions"] if one["text"] == "BAD")
    assert [MIXED[start:end] for start, end in bad["places"]] == ["BAD", "bad"]


def test_the_largest_contributions_come_first(client: TestClient) -> None:
    sizes = [abs(one["contribution"]) for one in ask(client, text=GOOD, top=5)["contributions"]]
    assert len(sizes) == 5
    assert sizes == sorted(sizes, reverse=True)


def test_ten_contributions_are_listed_by_default(client: TestClient) -> None:
    answer = ask(client, text=GOOD * 3)
    assert len(answer["contributions"]) == 10
    assert answer["remainder"]["count"] > 0


def test_warnings_are_in_the_answer(client: TestClient) -> None:
    assert ask(client, text="xyzzyq qqwxz zzkjq")["warnings"]


def test_an_unknown_label_is_refused_by_name(client: TestClient) -> None:
    message = "label is 'neutral', which is none of the 2 labels of the model; GET /model/info lists them"
    refused = post(client, PATH, {"text": GOOD, "label": "neutral"})
    assert broken_rules(refused) == [(["body", "label"], message, "unknown_label")]


@pytest.mark.parametrize("top", [0, -1, MAX_CONTRIBUTIONS + 1, 1.5, "3", None])
def test_a_number_of_contributions_out_of_bounds_is_refused(client: TestClient, top: object) -> None:
    assert broken_rules(post(client, PATH, {"text": GOOD, "top": top}))[0][0] == ["body", "top"]


# Networks


TEXT = "A great film, not bad"


def running_network(running: RunningService, **changes: Any) -> RunningService:
    """The service with a network and a recorder of its own; `changes` are settings of the batcher."""
    classifier = Classifier(network_artifact())
    batching = running.settings.batching.model_copy(update=changes)
    settings = running.settings.model_copy(update={"batching": batching})
    admission = Admission(batching, Stage.OPEN)
    recording = recorder()
    return replace(
        running,
        settings=settings,
        classifier=classifier,
        batcher=new_batcher(classifier, settings, admission, recording.batch),
        connections=replace(running.connections, admission=admission, recorder=recording),
    )


async def explained(
    service: RunningService, text: str = TEXT, timeout: float | None = None
) -> dict[str, Any]:
    exchange = Exchange()
    exchange.timeout = timeout
    return dict(await predict_explain(service, ExplainRequest(text=text), exchange))


def test_a_network_is_explained_by_occlusion(running: RunningService) -> None:
    text = f" {TEXT}"
    answer = asyncio.run(explained(running_network(running), text))
    assert (answer["method"], answer["unit"]) == ("occlusion", "word")
    assert set(answer["faithfulness"]) == {"comprehensiveness", "sufficiency"}
    assert added_up(answer) == pytest.approx(answer["score"], abs=1e-9)
    (start, end) = answer["contributions"][0]["places"][0]
    assert (text[start:end], answer["contributions"][0]["text"]) == ("great", "great")


def test_the_service_explains_as_python_code_does(running: RunningService) -> None:
    service = running_network(running)
    answer = asyncio.run(explained(service))
    explanation = explain_text(service.classifier, TEXT)
    assert answer == explanation_answer(TEXT, explanation, 0.5, 10)


def counted(service: RunningService) -> dict[str, float]:
    text = service.connections.recorder.metrics.text([]).decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("classifier_")]
    return {name: float(value) for name, value in lines}


def test_only_the_texts_that_clients_sent_are_counted(running: RunningService) -> None:
    service = running_network(running)

    async def ask_together() -> None:
        others = (predict(service, PredictRequest(text="bad film"), Exchange()) for _ in range(3))
        await asyncio.gather(explained(service), *others)

    asyncio.run(ask_together())
    counts = counted(service)
    assert counts["classifier_text_characters_count"] == 4
    assert counts["classifier_text_characters_sum"] == len(TEXT) + 3 * len("bad film")
    assert counts['classifier_predictions_total{label="negative"}'] == 3
    assert counts['classifier_predictions_total{label="positive"}'] == 1
    assert counts["classifier_prediction_confidence_count"] == 4


def test_the_record_of_a_request_has_only_its_own_prediction(running: RunningService) -> None:
    exchange = Exchange()
    asyncio.run(predict_explain(running_network(running), ExplainRequest(text=TEXT), exchange))
    assert [prediction.label for prediction in exchange.predictions] == ["positive"]
    assert exchange.texts == [TEXT]
    assert len(exchange.batches) >= 3
    assert exchange.queue_seconds is not None
    assert exchange.queue_seconds >= 0


def test_an_explanation_fits_into_the_smallest_queue(running: RunningService) -> None:
    service = running_network(running, max_waiting_texts=MAX_TEXTS)
    answer = asyncio.run(explained(service, "good bad " * 110))
    assert (len(answer["words"]), answer["unit"]) == (220, "word")


def test_a_deadline_that_passes_before_the_first_run_is_noticed(running: RunningService) -> None:
    with pytest.raises(DeadlinePassed):
        asyncio.run(explained(running_network(running), timeout=1e-9))


def test_a_deadline_that_passes_between_two_runs_is_noticed(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = running_network(running)
    submit = service.batcher.submit
    sizes: list[int] = []

    async def submit_and_let_the_deadline_pass(texts: Any, timeout: float, origin: Any) -> Any:
        sizes.append(len(texts))
        outcomes = await submit(texts, timeout, origin)
        end = time.perf_counter() + timeout
        while time.perf_counter() < end:
            await asyncio.sleep(0)
        return outcomes

    monkeypatch.setattr(service.batcher, "submit", submit_and_let_the_deadline_pass)
    with pytest.raises(DeadlinePassed, match="before all texts of the explanation had run"):
        asyncio.run(explained(service, timeout=0.2))
    assert sizes == [1]


def test_the_texts_of_a_client_that_disconnects_leave_the_queue(running: RunningService) -> None:
    service = running_network(running)

    async def disconnect() -> int:
        explaining = asyncio.create_task(explained(service, "good bad " * 100))
        while service.admission.load.texts < MAX_TEXTS:
            await asyncio.sleep(0)
        explaining.cancel()
        await asyncio.wait([explaining])
        return service.admission.load.texts

    assert asyncio.run(disconnect()) == 0


EXPLANATIONS = 4


def test_the_texts_of_few_explanations_are_in_the_queue_at_the_same_time(running: RunningService) -> None:
    service = running_network(running, max_waiting_seconds=600, deadline_seconds=600)
    longest = 0

    async def explain_many() -> None:
        nonlocal longest
        explaining = [
            asyncio.create_task(explained(service, f"good bad {n} " * 60)) for n in range(EXPLANATIONS)
        ]
        while not all(task.done() for task in explaining):
            longest = max(longest, service.admission.load.texts)
            await asyncio.sleep(0)
        await asyncio.gather(*explaining)

    asyncio.run(explain_many())
    # The text of each explanation is predicted first, without waiting for other explanations.
    assert MAX_TEXTS <= longest <= MAX_OCCLUSIONS * MAX_TEXTS + EXPLANATIONS


def test_an_explanation_that_waits_too_long_for_others_is_refused(running: RunningService) -> None:
    service = replace(running_network(running, max_waiting_seconds=0.02), occlusions=asyncio.Semaphore(0))
    with pytest.raises(QueueFull, match=r"waited 0\.02 s for others to finish; the limit is 0\.02 s"):
        asyncio.run(explained(service))


def test_a_deadline_that_passes_while_others_are_explained_is_noticed(running: RunningService) -> None:
    service = replace(running_network(running, max_waiting_seconds=5), occlusions=asyncio.Semaphore(0))
    with pytest.raises(DeadlinePassed, match="before all texts of the explanation had run"):
        asyncio.run(explained(service, timeout=0.05))


def test_an_explanation_whose_client_disconnects_makes_room_for_others(running: RunningService) -> None:
    service = running_network(running, max_waiting_seconds=600, deadline_seconds=600)
    service = replace(service, occlusions=asyncio.Semaphore(1))

    async def disconnect() -> dict[str, Any]:
        explaining = asyncio.create_task(explained(service, "good bad " * 100))
        while service.admission.load.texts < MAX_TEXTS:
            await asyncio.sleep(0)
        explaining.cancel()
        await asyncio.wait([explaining])
        return await explained(service)

    assert asyncio.run(disconnect())["method"] == "occlusion"
