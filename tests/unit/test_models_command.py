"""`text-classifier models` lists the models, and `models explain` the n-grams of a linear one."""

import json
from dataclasses import replace

import pytest
from tiny import FOUR_LABELS, doubting_artifact, tiny_artifact, with_golden, write_tiny
from typer.testing import CliRunner, Result

import model_store
from classifier.artifact import GoldenCase, write_artifact
from classifier.runtimes.network import NETWORK
from classifier.runtimes.onnx import OnnxSettings
from cli.app import app
from cli.models import NoNgrams


@pytest.fixture(scope="module", autouse=True)
def _stored(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("listed")
    model_store.save(write_tiny(folder / "two", name="listed-two"))
    model_store.save(write_tiny(folder / "four", FOUR_LABELS, name="listed-four"))
    write_artifact(with_golden(doubting_artifact(name="listed-short")), folder / "short")
    model_store.save(folder / "short")
    hostile = with_golden(tiny_artifact(("bad\x1b[2J", "good"), name="listed-hostile"))
    write_artifact(hostile, folder / "hostile")
    model_store.save(folder / "hostile")
    settings = OnnxSettings(first_id=2, unknown_id=1, pad_to=8, output="logits")
    cases = tuple(GoldenCase(text=f"text {i}", probabilities=(0.5, 0.5)) for i in range(20))
    network = tiny_artifact(model=settings, name="listed-network")
    write_artifact(replace(network, weights={NETWORK: b"some network"}, golden=cases), folder / "network")
    model_store.save(folder / "network")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["models", *words], env={"COLUMNS": "200"})


def test_without_a_command_the_models_are_listed() -> None:
    shown = run()
    assert shown.exit_code == 0
    for name in ("listed-two", "listed-four", "listed-network"):
        assert f"{name}:" in shown.stdout


def test_two_classes_get_the_n_grams_of_both_directions() -> None:
    shown = json.loads(run("explain", "listed-two:latest", "--top", "2", "--json").stdout)
    assert shown == {
        "model": "listed-two:latest",
        "for_short_texts": False,
        "classes": [
            {
                "label": "negative",
                "compared_with": "the other label",
                "ngrams": [{"ngram": "awful", "weight": 2.5}, {"ngram": "not good", "weight": 2.25}],
            },
            {
                "label": "positive",
                "compared_with": "the other label",
                "ngrams": [{"ngram": "great", "weight": 2.0}, {"ngram": "not bad", "weight": 1.75}],
            },
        ],
    }


def test_each_of_more_classes_gets_its_n_grams() -> None:
    shown = json.loads(run("explain", "listed-four", "--json").stdout)
    assert [one["label"] for one in shown["classes"]] == list(FOUR_LABELS)
    assert {one["compared_with"] for one in shown["classes"]} == {"the mean of the other labels"}
    assert all(row["weight"] > 0 for one in shown["classes"] for row in one["ngrams"])


def test_the_tables_have_the_n_grams_and_their_weights() -> None:
    words = run("explain", "listed-two").stdout.replace("│", " ").split()
    for row in (["awful", "2.5000"], ["not", "bad", "1.7500"]):
        assert any(words[place : place + len(row)] == row for place in range(len(words)))


def test_a_label_cannot_control_the_terminal() -> None:
    assert "\x1b" not in run("explain", "listed-hostile").stdout


def test_a_network_is_refused_with_what_to_use_instead() -> None:
    refused = run("explain", "listed-network")
    assert isinstance(refused.exception, NoNgrams)
    assert str(refused.exception) == (
        "listed-network, a model of the kind onnx, has no weights of known n-grams; "
        "`text-classifier predict --explain` explains what such a model predicts for a text"
    )


@pytest.mark.parametrize(("words", "weight"), [((), 2.5), (("--short",), 5.0)])
def test_a_model_with_weights_for_short_texts_shows_those_that_are_asked_for(
    words: tuple[str, ...], weight: float
) -> None:
    shown = json.loads(run("explain", "listed-short", "--top", "1", "--json", *words).stdout)
    assert shown["for_short_texts"] is bool(words)
    assert shown["classes"][0]["ngrams"] == [{"ngram": "awful", "weight": weight}]


def test_the_tables_of_long_texts_say_that_there_are_others() -> None:
    hint = "weights for long texts; --short shows those for short texts"
    assert hint in run("explain", "listed-short").stderr
    assert hint not in run("explain", "listed-short", "--short").stderr
    assert hint not in run("explain", "listed-two").stderr


def test_weights_for_short_texts_of_a_model_without_them_are_refused() -> None:
    refused = run("explain", "listed-two", "--short")
    assert str(refused.exception) == (
        "listed-two has no weights of its own for short texts; leave out --short"
    )


def test_an_unknown_model_is_named() -> None:
    assert "has no model 'nobody'" in str(run("explain", "nobody").exception)


def test_the_bundled_model_is_explained_if_none_is_named() -> None:
    shown = run("explain", "--top", "1", "--json")
    assert json.loads(shown.stdout)["model"] == "imdb-sentiment:latest"
