"""The runtime of transformers: its tokens, what its network reads, and that texts are independent."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from tiny_transformer import POSITIONS, RAW, network_file, runtime, tokenizer_file

from classifier.errors import ArtifactError
from classifier.runtimes.network import NETWORK, Network
from classifier.runtimes.transformer import (
    TOKENIZER,
    TransformerRuntime,
    TransformerSettings,
    WordPieces,
    unknown_id_of,
)
from classifier.text import TextSettings

ALL_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
TEXTS = ["A good film!", "bad films", "", "a great movie " * 20, "nothing known", "\U0001f600" * 30]
SETTINGS = TransformerSettings(pad_id=0, unknown_id=1)


def pieces(text: TextSettings = RAW) -> WordPieces:
    return WordPieces(tokenizer_file(), text, 1, "requirements/transformer.txt")


# Tokens


def test_the_padding_and_the_limit_of_the_file_are_ignored() -> None:
    tokens = pieces().encode(["a good film ! a good film", "bad"])
    assert [encoding.ids for encoding in tokens.encodings] == [[2, 4, 5, 7, 11, 4, 5, 7, 3], [2, 6, 3]]
    assert not tokens.cut.any()


def test_a_long_text_is_cut_and_keeps_its_special_tokens() -> None:
    tokens = pieces().encode(["good " * 100])
    assert tokens.encodings[0].ids == [2, *[5] * (POSITIONS - 2), 3]
    assert tokens.cut.tolist() == [True]


def test_the_end_of_a_long_text_can_be_kept() -> None:
    tokens = pieces(RAW.model_copy(update={"keep": "last"})).encode(["bad " * 100 + "good"])
    assert tokens.encodings[0].ids == [2, *[6] * (POSITIONS - 3), 5, 3]
    assert tokens.cut.tolist() == [True]


def test_a_text_of_exactly_the_greatest_length_is_not_cut() -> None:
    assert pieces().encode(["good " * (POSITIONS - 2)]).cut.tolist() == [False]


def test_known_and_unknown_tokens_are_counted_without_special_ones() -> None:
    tokens = pieces().encode(["a good xyz", "", "films"])
    assert (tokens.known.tolist(), tokens.unknown.tolist()) == ([2, 0, 2], [1, 0, 0])


def test_a_lone_surrogate_is_read_as_the_character_that_replaces_it() -> None:
    first, second = pieces().encode(["a\ud800b", "a\ufffdb"]).encodings
    assert first.ids == second.ids


def test_the_places_are_those_of_whole_words_in_the_text_of_the_client() -> None:
    text = "A good  films!"
    assert [text[start:end] for start, end in runtime().places(text)] == ["A", "good", "films", "!"]


def test_the_places_are_in_the_text_before_cleaning() -> None:
    text = "<b>good</b> film"
    places = runtime(text=RAW.model_copy(update={"strip_html": True})).places(text)
    assert [text[start:end] for start, end in places] == ["good", "film"]


def test_only_the_words_that_are_read_have_places() -> None:
    assert len(runtime().places("good " * 100)) == POSITIONS - 2


@pytest.mark.parametrize("text", ["", " ", "\u200b"])
def test_a_text_without_tokens_has_no_places_but_scores(text: str) -> None:
    tiny = runtime()
    assert tiny.places(text).shape == (0, 2)
    assert np.isfinite(tiny.score(tiny.encode([text])).scores).all()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"unk_token": "[UNK]", "vocab": {"a": 0, "[UNK]": 7}}, 7),
        ({"unk_id": 3, "vocab": [["<s>", 0.0]]}, 3),
        ({"unk_token": None, "vocab": {"a": 0}}, None),
        ({"unk_id": None, "vocab": [["<s>", 0.0]]}, None),
        ({"unk_token": "[UNK]", "vocab": {"a": 0}}, None),
    ],
    ids=["word pieces", "unigrams", "bytes", "unigrams without", "not in the vocabulary"],
)
def test_the_id_of_what_is_unknown_is_that_of_the_file(model: object, expected: int | None) -> None:
    assert unknown_id_of(json.dumps({"model": model}).encode()) == expected


# Scores


@pytest.mark.parametrize("runs_alone", [False, True])
@pytest.mark.parametrize(
    "inputs", [ALL_INPUTS, ("input_ids", "attention_mask"), ("position_ids", "input_ids")]
)
@pytest.mark.parametrize("element", [TensorProto.INT64, TensorProto.INT32], ids=["int64", "int32"])
def test_the_network_gets_the_inputs_that_it_has(
    inputs: tuple[str, ...], element: int, runs_alone: bool
) -> None:
    tiny = runtime(network_file(inputs, element=element), runs_alone=runs_alone)
    assert tiny.score(tiny.encode(["a good film", "bad"])).scores.shape == (2, 2)


@given(
    texts=st.lists(
        st.one_of(st.sampled_from(TEXTS), st.text(alphabet="ab good film!\U0001f600\u4f60", max_size=60)),
        min_size=1,
        max_size=8,
    )
)
@pytest.mark.parametrize("inputs", [ALL_INPUTS, ("input_ids", "attention_mask")])
def test_the_scores_of_a_text_do_not_depend_on_its_batch(texts: list[str], inputs: tuple[str, ...]) -> None:
    tiny = runtime(network_file(inputs))
    together = tiny.score(tiny.encode(texts)).scores
    alone = [tiny.score(tiny.encode([text])).scores[0] for text in texts]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_texts_that_run_alone_never_see_padding() -> None:
    # This network has no mask, so padding would change the scores.
    tiny = runtime(network_file(("input_ids",)), runs_alone=True)
    texts = ["good", "a great film", "bad films and others"]
    together = tiny.score(tiny.encode(texts)).scores
    assert np.array_equal(together, [tiny.score(tiny.encode([text])).scores[0] for text in texts])


def test_many_long_texts_run_in_parts_that_need_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifier.runtimes.transformer.MAX_RUN_TOKENS", {"cpu": 40})
    tiny = runtime()
    seen = []
    run = tiny._network.run
    tiny._network.run = lambda output, inputs: seen.append(inputs["input_ids"].shape) or run(output, inputs)
    texts = ["good " * 10] * 9
    scores = tiny.score(tiny.encode(texts)).scores
    assert len(seen) == 3
    assert all(rows * width <= 40 for rows, width in seen)
    assert np.array_equal(scores, [scores[0]] * 9)


def test_a_network_in_int8_runs_on_the_cpu_also_where_the_build_for_cuda_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    weights = {NETWORK: network_file(), TOKENIZER: tokenizer_file()}
    int8 = SETTINGS.model_copy(update={"runs_alone": True})
    assert TransformerRuntime.load(int8, weights, (), RAW, 2).device == "cpu"
    not_there = pytest.warns(UserWarning, match="not in available provider names")
    with pytest.raises(ArtifactError, match="no GPU can be used"), not_there:
        TransformerRuntime.load(SETTINGS, weights, (), RAW, 2)


def test_golden_cases_of_a_network_in_int8_may_differ_as_much_as_processors_do() -> None:
    assert runtime().golden_tolerance == 1e-4
    assert runtime(runs_alone=True).golden_tolerance == 0.1


def test_the_cost_is_about_the_number_of_tokens_and_has_a_limit() -> None:
    tiny = runtime()
    assert tiny.cost("") == 3
    assert tiny.cost("good " * 4) == 3 + 5
    assert tiny.cost("good " * 1000) == tiny.cost("good " * 2000) == 3 + POSITIONS - 2
    assert tiny.cost("\ud800") == 4


# What is refused


def load(network: bytes, tokenizer: bytes, vocabulary: tuple[str, ...] = ()) -> TransformerRuntime:
    weights = {NETWORK: network, TOKENIZER: tokenizer}
    return TransformerRuntime.load(SETTINGS, weights, vocabulary, RAW, 2)


@pytest.mark.parametrize(
    ("network", "tokenizer", "message"),
    [
        (b"broken", tokenizer_file(), "model.onnx cannot be loaded by ONNX Runtime"),
        (network_file(), b"broken", "tokenizer.json cannot be read by tokenizers"),
        (network_file(), b"{}", "tokenizer.json cannot be read by tokenizers"),
        (network_file(("position_ids",)), tokenizer_file(), "model.onnx has the inputs [('position_ids'"),
        (
            network_file(element=TensorProto.INT32).replace(b"attention_mask", b"attention_musk"),
            tokenizer_file(),
            "a transformer has input_ids and perhaps attention_mask, position_ids, token_type_ids",
        ),
    ],
    ids=["network", "tokenizer", "empty tokenizer", "no ids", "other input"],
)
def test_files_that_are_no_transformer_are_refused(network: bytes, tokenizer: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(message)):
        load(network, tokenizer)


def test_a_vocabulary_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"vocabulary.json has 1 tokens; .* are in tokenizer.json"):
        load(network_file(), tokenizer_file(), ("a",))


def test_an_output_of_the_wrong_shape_is_refused() -> None:
    tiny = runtime(network_file(classes=3), classes=2)
    with pytest.raises(ArtifactError, match=re.escape("output has shape (1, 3); expected (1, 2)")):
        tiny.score(tiny.encode(["good"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stopwords": ("a",)}, "text.stopwords is ('a',); a transformer has a tokenizer of its own"),
        ({"unknown": "drop"}, "text.unknown is 'drop'"),
        ({"units": "characters"}, "text.units is 'characters'"),
        ({"token_pattern": "[a-z]+"}, "text.token_pattern is '[a-z]+'"),
    ],
)
def test_settings_of_other_tokens_are_refused(change: dict[str, object], message: str) -> None:
    text = TextSettings(max_tokens=14, **change)
    with pytest.raises(ValueError, match=re.escape(message)):
        TransformerRuntime.check(SETTINGS, ("bad", "good"), text)


def panicking(text: TextSettings = RAW) -> TransformerRuntime:
    """Return a runtime whose tokenizer panics for many z without a q."""
    content = json.loads(tokenizer_file())
    content["normalizer"] = {"type": "Replace", "pattern": {"Regex": "(z+)+q"}, "content": "z"}
    pieces = WordPieces(json.dumps(content).encode(), text, 1, "requirements/transformer.txt")
    network = Network(network_file(), "requirements/transformer.txt", threads=1)
    return TransformerRuntime(network, SETTINGS, pieces, text, 2)


def test_a_text_for_which_the_tokenizer_panics_is_an_error_that_the_batcher_catches() -> None:
    tiny = panicking()
    assert list(tiny.encode(["good film"]).lengths) == [4]
    with pytest.raises(ArtifactError, match=r"tokenizer.json cannot split a text: .*retry-limit-in-match"):
        tiny.encode(["good", "z" * 50])
    with pytest.raises(ArtifactError, match=r"tokenizer.json cannot split a text"):
        tiny.places("z" * 50)
