"""Python code that calls the service in its own process, without a server."""

import asyncio
import threading
from types import ModuleType
from typing import Any

import httpx
import pytest

from serving.errors import InvalidRequest

GOOD = "A moving, beautifully acted film."


@pytest.fixture(scope="module")
def classifier(service: ModuleType) -> Any:
    return service.TextClassifier()


def test_every_api_answers_as_over_http(classifier: Any) -> None:
    assert asyncio.run(classifier.predict(text=GOOD))["label"] == "positive"
    assert asyncio.run(classifier.predict(GOOD, 0.999))["final_prediction"] == "uncertain"
    assert asyncio.run(classifier.predict_batch(texts=[GOOD, GOOD]))["total_processed"] == 2
    assert len(asyncio.run(classifier.predict_top_k(text=GOOD, k=1))["top_predictions"]) == 1
    assert len(asyncio.run(classifier.predict_thresholds(text=GOOD, thresholds=[0.5]))["results"]) == 1
    assert asyncio.run(classifier.predict_explain(GOOD, "negative", 1))["explained_label"] == "negative"
    for answers in (classifier.classify([GOOD]), classifier.classify(texts=[GOOD])):
        assert [answer["label"] for answer in asyncio.run(answers)] == ["positive"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([""],), "texts[0] is blank"),
        (([],), "texts has 0 items"),
        (("good",), 'texts is "good"'),
        ((["x"] * 1001,), "texts has 1001 items"),
        ((), "texts is missing"),
    ],
)
def test_an_invalid_batch_is_refused(classifier: Any, arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asyncio.run(classifier.classify(*arguments))
    assert sentence in str(caught.value)


def test_too_many_arguments_are_refused(classifier: Any) -> None:
    with pytest.raises(TypeError, match="3 arguments are given; at most text, threshold are accepted"):
        asyncio.run(classifier.predict(GOOD, 0.5, 1))


def test_event_loops_in_several_threads_do_not_wait_for_each_other(classifier: Any) -> None:
    def ask() -> None:
        for _ in range(50):
            labels.append(asyncio.run(classifier.predict(text=GOOD))["label"])

    labels: list[str] = []
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert labels == ["positive"] * 200


def test_a_loop_that_ended_in_the_middle_of_a_call_does_not_disturb_the_next(classifier: Any) -> None:
    loop = asyncio.new_event_loop()
    unfinished = loop.create_task(classifier.predict(text=GOOD))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert not unfinished.done()
    assert asyncio.run(classifier.predict(text=GOOD))["label"] == "positive"


def test_a_client_that_sends_no_lifespan_is_told(service: ModuleType) -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=service.TextClassifier.to_asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/predict", json={"text": GOOD})

    answer = asyncio.run(ask())
    assert answer.status_code == 503
    assert "must send the events of the lifespan" in answer.json()["detail"]
