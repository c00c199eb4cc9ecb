"""The prediction routes: the fields of their answers, with types and order."""

import pytest
from asking import post
from starlette.testclient import TestClient

from classifier.pipeline import LITTLE_EVIDENCE
from classifier.schema import DEFAULT_THRESHOLDS, MAX_TEXTS

GOOD = "A wonderful, moving film with great acting."
BAD = "An awful, boring waste of time. The worst film ever."
STRANGE = "xyzzyq qqwxz zzkjq"

PREDICTION = ["text", "predicted_class", "label", "confidence", "is_confident"]
PROBABILITIES = ["probabilities", "probability_positive", "probability_negative"]
DECISION = ["final_prediction", "reason"]


def ask(client: TestClient, path: str, body: object) -> dict:
    response = post(client, path, body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def test_predict_answers_the_fields_of_the_contract_in_order(client: TestClient) -> None:
    answer = ask(client, "/predict", {"text": GOOD})
    assert list(answer) == PREDICTION + PROBABILITIES
    assert {name: type(value) for name, value in answer.items()} == {
        "text": str,
        "predicted_class": int,
        "label": str,
        "confidence": float,
        "is_confident": bool,
        "probabilities": dict,
        "probability_positive": float,
        "probability_negative": float,
    }


def test_predict_distinguishes_good_from_bad_reviews(client: TestClient) -> None:
    good, bad = (ask(client, "/predict", {"text": text}) for text in (GOOD, BAD))
    assert (good["label"], good["predicted_class"]) == ("positive", 1)
    assert (bad["label"], bad["predicted_class"]) == ("negative", 0)


def test_the_probabilities_agree_with_each_other_and_sum_to_one(client: TestClient) -> None:
    answer = ask(client, "/predict", {"text": GOOD})
    assert list(answer["probabilities"]) == ["negative", "positive"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["probability_positive"] == answer["probabilities"]["positive"]
    assert answer["probability_negative"] == answer["probabilities"]["negative"]
    assert answer["confidence"] == answer["probabilities"][answer["label"]]


def test_the_answer_repeats_the_text_without_surrounding_white_space(client: TestClient) -> None:
    answer = ask(client, "/predict", {"text": f"\n\t {GOOD}  "})
    assert answer == ask(client, "/predict", {"text": GOOD})
    assert answer["text"] == GOOD


def test_a_threshold_below_the_confidence_gives_the_label_as_final(client: TestClient) -> None:
    answer = ask(client, "/predict", {"text": GOOD, "threshold": 0})
    assert list(answer) == PREDICTION + PROBABILITIES + DECISION
    assert answer["final_prediction"] == "positive"
    assert answer["reason"] == f"Confidence {answer['confidence']:.4f} is at or above the threshold 0"


def test_a_threshold_above_the_confidence_gives_uncertain(client: TestClient) -> None:
    answer = ask(client, "/predict", {"text": GOOD, "threshold": 1})
    assert answer["final_prediction"] == "uncertain"
    assert answer["reason"] == f"Confidence {answer['confidence']:.4f} is below the threshold 1"
    assert answer["label"] == "positive"


def test_a_null_threshold_is_the_same_as_no_threshold(client: TestClient) -> None:
    assert ask(client, "/predict", {"text": GOOD, "threshold": None}) == ask(
        client, "/predict", {"text": GOOD}
    )


def test_warnings_are_the_last_field_and_present_only_if_there_are_any(client: TestClient) -> None:
    assert "warnings" not in ask(client, "/predict", {"text": GOOD})
    answer = ask(client, "/predict", {"text": STRANGE, "threshold": 0.5})
    assert list(answer) == [*PREDICTION, *PROBABILITIES, *DECISION, "warnings"]
    assert answer["warnings"] == ["unknown words: the model knows 0 of the text's 3 tokens"]


def test_a_text_with_more_tokens_than_the_model_reads_gets_a_warning(client: TestClient) -> None:
    limit = client.get("/model/info").json()["max_input_length"]
    cut = f"cut: only the first {limit} tokens of the text were read"
    assert cut not in ask(client, "/predict", {"text": "good " * limit}).get("warnings", ())
    assert cut in ask(client, "/predict", {"text": "a " * (limit + 1)})["warnings"]


def test_a_text_that_says_little_to_the_model_gets_a_warning_and_nearly_equal_probabilities(
    client: TestClient,
) -> None:
    answer = ask(client, "/predict", {"text": "The food was cold"})
    assert answer["warnings"] == [LITTLE_EVIDENCE]
    assert answer["confidence"] < 0.6


def test_white_space_around_a_text_does_not_count_towards_its_length(
    client: TestClient,
) -> None:
    answer = ask(client, "/predict", {"text": "  " + "a" * 10_000 + "\n"})
    assert len(answer["text"]) == 10_000


@pytest.mark.parametrize(
    "text", ["a\x00b", "\x00", "👍🏽 👨‍👩‍👧", "你好，世界", "\u202eabc", "\ufeffgood", "a\u0301", "<br />"]
)
def test_odd_but_valid_text_is_classified_and_repeated_unchanged(client: TestClient, text: str) -> None:
    assert ask(client, "/predict", {"text": text})["text"] == text


def test_the_last_of_duplicate_keys_counts(client: TestClient) -> None:
    answer = ask(client, "/predict", b'{"text": "good", "text": "bad"}')
    assert answer["text"] == "bad"


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=UTF-8 "]
)
def test_json_may_be_declared_with_parameters_and_in_capitals(client: TestClient, media_type: str) -> None:
    response = post(client, "/predict", {"text": GOOD}, {"content-type": media_type})
    assert response.status_code == 200


def test_the_answers_to_a_batch_are_in_its_order(client: TestClient) -> None:
    texts = [f"{GOOD if number % 2 else BAD} {number}" for number in range(MAX_TEXTS)]
    answer = ask(client, "/predict/batch", {"texts": texts})
    assert list(answer) == ["predictions", "total_processed"]
    assert answer["total_processed"] == MAX_TEXTS
    assert [item["text"] for item in answer["predictions"]] == texts
    assert [item["predicted_class"] for item in answer["predictions"]] == [n % 2 for n in range(MAX_TEXTS)]


def test_a_batch_answers_each_text_as_predict_does(client: TestClient) -> None:
    texts = [GOOD, BAD, STRANGE]
    answer = ask(client, "/predict/batch", {"texts": texts, "return_probabilities": True})
    assert list(answer["predictions"][0]) == PREDICTION + PROBABILITIES
    for item, text in zip(answer["predictions"], texts, strict=True):
        single = ask(client, "/predict", {"text": text})
        assert item["probabilities"] == pytest.approx(single["probabilities"], abs=1e-9)
        assert item.get("warnings") == single.get("warnings")


def test_a_batch_asked_without_probabilities_has_no_probability_fields(client: TestClient) -> None:
    answer = ask(client, "/predict/batch", {"texts": [GOOD], "return_probabilities": False})
    assert list(answer["predictions"][0]) == PREDICTION


def test_top_k_ranks_the_most_probable_first(client: TestClient) -> None:
    answer = ask(client, "/predict/top-k", {"text": BAD})
    assert list(answer) == ["text", "top_predictions"]
    assert [list(item) for item in answer["top_predictions"]] == [["label", "probability"]] * 2
    assert [item["label"] for item in answer["top_predictions"]] == ["negative", "positive"]
    first, second = (item["probability"] for item in answer["top_predictions"])
    assert first > second


@pytest.mark.parametrize(("query", "fields"), [("?k=1", {}), ("", {"k": 1})])
def test_k_may_be_in_the_query_or_in_the_body(client: TestClient, query: str, fields: dict) -> None:
    answer = ask(client, f"/predict/top-k{query}", {"text": GOOD} | fields)
    assert [item["label"] for item in answer["top_predictions"]] == ["positive"]


def test_the_k_in_the_body_overrides_the_k_in_the_query(client: TestClient) -> None:
    assert len(ask(client, "/predict/top-k?k=2", {"text": GOOD, "k": 1})["top_predictions"]) == 1


@pytest.mark.parametrize("k", [2, 3, 10**9, 10**18])
@pytest.mark.parametrize("place", ["query", "body"])
def test_k_at_or_above_the_number_of_classes_gives_all_classes(
    client: TestClient, k: int, place: str
) -> None:
    query, fields = (f"?k={k}", {}) if place == "query" else ("", {"k": k})
    answer = ask(client, f"/predict/top-k{query}", {"text": GOOD} | fields)
    assert len(answer["top_predictions"]) == 2


@pytest.mark.parametrize("number", ["2.0", "1e1", "1e300", "1" + "0" * 200])
def test_k_may_be_a_whole_number_in_any_json_notation(client: TestClient, number: str) -> None:
    answer = ask(client, "/predict/top-k", f'{{"text": "good", "k": {number}}}'.encode())
    assert len(answer["top_predictions"]) == 2


def test_a_k_of_many_digits_in_the_query_gives_all_classes(client: TestClient) -> None:
    assert len(ask(client, f"/predict/top-k?k={10**200}", {"text": GOOD})["top_predictions"]) == 2


@pytest.mark.parametrize("path", ["/predict?threshold=0.9", "/predict/top-k?n=2", "/classify?text=x"])
def test_an_unknown_query_parameter_is_refused(client: TestClient, path: str) -> None:
    route, _, query = path.partition("?")
    response = post(client, path, {"texts": [GOOD]} if route == "/classify" else {"text": GOOD})
    assert response.status_code == 422
    assert f"{query.partition('=')[0]} is not a query parameter" in response.json()["detail"]


def test_top_k_answers_contain_warnings(client: TestClient) -> None:
    assert list(ask(client, "/predict/top-k", {"text": STRANGE})) == ["text", "top_predictions", "warnings"]


def test_the_results_for_thresholds_are_in_the_order_of_the_request(client: TestClient) -> None:
    p = ask(client, "/predict", {"text": GOOD})["probability_positive"]
    answer = ask(client, "/predict/thresholds", {"text": GOOD, "thresholds": [1, 0.5, 0]})
    assert list(answer) == ["text", "results"]
    assert answer["results"] == [
        {
            "threshold": 1.0,
            "predicted_class": 0,
            "label": "negative",
            "probability_positive": p,
            "confidence": pytest.approx(1 - p),
        },
        {
            "threshold": 0.5,
            "predicted_class": 1,
            "label": "positive",
            "probability_positive": p,
            "confidence": p,
        },
        {
            "threshold": 0.0,
            "predicted_class": 1,
            "label": "positive",
            "probability_positive": p,
            "confidence": p,
        },
    ]


def test_the_default_thresholds_are_0_1_to_0_9(client: TestClient) -> None:
    answer = ask(client, "/predict/thresholds", {"text": GOOD})
    tried = [row["threshold"] for row in answer["results"]]
    assert tried == list(DEFAULT_THRESHOLDS) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_threshold_answers_contain_warnings(client: TestClient) -> None:
    assert list(ask(client, "/predict/thresholds", {"text": STRANGE})) == ["text", "results", "warnings"]


def test_classify_answers_a_list_of_predictions_in_order(client: TestClient) -> None:
    answer = ask(client, "/classify", {"texts": [GOOD, BAD, STRANGE]})
    assert [list(item) for item in answer] == [
        PREDICTION + PROBABILITIES,
        PREDICTION + PROBABILITIES,
        [*PREDICTION, *PROBABILITIES, "warnings"],
    ]
    assert [item["text"] for item in answer] == [GOOD, BAD, STRANGE]
    assert answer[0]["probabilities"] == pytest.approx(
        ask(client, "/predict", {"text": GOOD})["probabilities"], abs=1e-9
    )
