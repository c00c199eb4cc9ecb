"""Reading a sentence encoder from a folder of Hugging Face, and what its embeddings are."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import external_data_helper, helper, numpy_helper
from tiny_encoder import DIMENSIONS, WORDS, encoder_file, table, write_encoder
from tiny_transformer import changed, network_file

from classifier.runtimes.network import NETWORK
from classifier.runtimes.transformer import TOKENIZER
from training_import.conversion.converted import UnsupportedModel
from training_import.conversion.sentence_encoders import read_encoder
from training_import.sentence_encoder import EMBEDDING, SentenceEncoder
from training_import.training.encoder import embed, embedding_runtime


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return read_encoder(write_encoder(tmp_path_factory.mktemp("encoders") / "tiny"))


def embeddings(encoder: SentenceEncoder, texts: list[str]) -> NDArray[np.float64]:
    return embed(encoder, texts, lambda _step, _share=None: None).embeddings


def mean_vector(words: list[str]) -> NDArray[np.float64]:
    """Return the mean of the vectors of [CLS], the words and [SEP], scaled to unit length."""
    ids = [2, *(WORDS.index(word) for word in words), 3]
    mean = table()[ids].astype(np.float64).mean(axis=0)
    vector: NDArray[np.float64] = mean / np.linalg.norm(mean)
    return vector


def refuses(folder: Path, message: str, max_tokens: int | None = None) -> None:
    with pytest.raises(UnsupportedModel, match=re.escape(message)):
        read_encoder(folder, max_tokens)


# Embeddings


def test_an_embedding_is_the_mean_over_the_tokens_scaled_to_unit_length(encoder: SentenceEncoder) -> None:
    found = embeddings(encoder, ["great word1 word2", "dull"])
    assert found == pytest.approx(np.array([mean_vector(["great", "word1", "word2"]), mean_vector(["dull"])]))


@given(st.lists(st.lists(st.sampled_from(WORDS[4:]), max_size=40), min_size=1, max_size=12))
def test_an_embedding_does_not_depend_on_the_other_texts(
    encoder: SentenceEncoder, texts: list[list[str]]
) -> None:
    runtime = embedding_runtime(encoder, threads=1)
    found = runtime.score(runtime.encode([" ".join(words) for words in texts])).scores
    assert found == pytest.approx(np.array([mean_vector(words) for words in texts]), abs=1e-6)


def test_padding_and_truncation_of_the_tokenizer_are_ignored(encoder: SentenceEncoder) -> None:
    words = [f"word{number}" for number in range(30)]
    assert embeddings(encoder, [" ".join(words)])[0] == pytest.approx(mean_vector(words))


def test_a_text_without_tokens_has_an_embedding(encoder: SentenceEncoder) -> None:
    assert embeddings(encoder, [""])[0] == pytest.approx(mean_vector([]))


def test_a_long_text_is_cut_and_counted(encoder: SentenceEncoder) -> None:
    found = embed(encoder, ["word1 " * 254, "word1 " * 255], lambda _step, _share=None: None)
    assert found.cut.tolist() == [False, True]


def test_the_network_has_one_output_and_only_what_it_needs(tmp_path: Path) -> None:
    network = encoder_file(outputs=("pooled", "last_hidden_state"))
    read = onnx.load_model_from_string(read_encoder(write_encoder(tmp_path, network)).network)
    assert [output.name for output in read.graph.output] == [EMBEDDING]
    assert "second_of_pooled" not in {constant.name for constant in read.graph.initializer}


@pytest.mark.parametrize(
    ("outputs", "is_pooled"),
    [
        (("last_hidden_state",), False),
        (("pooled_output", "last_hidden_state"), False),
        (("sentence_embedding", "token_embeddings"), True),
        (("anything",), False),
        (("pooled",), True),
    ],
)
def test_the_output_with_the_vectors_is_found(
    tmp_path: Path, outputs: tuple[str, ...], is_pooled: bool
) -> None:
    encoder = read_encoder(write_encoder(tmp_path, encoder_file(outputs=outputs)))
    (found,) = embeddings(encoder, ["great word1"])
    first = table()[WORDS.index("great")].astype(np.float64)
    assert found == pytest.approx(
        first / np.linalg.norm(first) if is_pooled else mean_vector(["great", "word1"])
    )
    assert encoder.notes[0].startswith(
        "The vector of a text is the output" if is_pooled else "The vector of a text is the mean of"
    )


def test_weights_in_another_file_are_read(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "source")
    model = onnx.load(folder / NETWORK)
    external_data_helper.convert_model_to_external_data(model, location="model.onnx_data", size_threshold=0)
    (folder / "onnx").mkdir()
    onnx.save(model, folder / "onnx" / NETWORK)
    (folder / NETWORK).unlink()
    assert embeddings(read_encoder(folder), ["dull"])[0] == pytest.approx(mean_vector(["dull"]))


# How many tokens are read


@pytest.mark.parametrize(
    ("config", "max_tokens", "read"),
    [
        ({}, None, 256),
        ({"max_position_embeddings": 512}, None, 256),
        ({"max_position_embeddings": 40}, None, 40),
        ({"max_position_embeddings": 40}, 20, 20),
        ({"max_position_embeddings": 512}, 400, 400),
        ({}, 400, 400),
    ],
)
def test_as_many_tokens_are_read_as_the_encoder_has_positions_for_but_at_most_256(
    tmp_path: Path, config: dict[str, int], max_tokens: int | None, read: int
) -> None:
    encoder = read_encoder(write_encoder(tmp_path, **config), max_tokens)
    assert encoder.max_tokens == encoder.text_settings.max_tokens == read - 2
    assert any(f"It reads {read} tokens" in note for note in encoder.notes) == (max_tokens is None)


def test_texts_are_not_cleaned(encoder: SentenceEncoder) -> None:
    settings = encoder.text_settings
    assert (settings.normalize, settings.strip_html, settings.lowercase) == (None, False, False)


@pytest.mark.parametrize("is_int8", [True, False])
def test_texts_run_alone_if_their_numbers_would_be_scaled_by_the_whole_batch(
    tmp_path: Path, is_int8: bool
) -> None:
    def scale(model: onnx.ModelProto) -> None:
        parts = ["whole", "scale", "zero"]
        model.graph.node[-1].output[0] = "exact"
        model.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["exact"], parts))
        model.graph.node.append(helper.make_node("DequantizeLinear", parts, ["last_hidden_state"]))

    network = changed(encoder_file(), scale) if is_int8 else encoder_file()
    assert read_encoder(write_encoder(tmp_path, network)).settings.runs_alone is is_int8


def test_an_encoder_in_int8_runs_texts_alone_and_says_so(tmp_path: Path) -> None:
    def multiply(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.eye(DIMENSIONS, dtype=np.float32), "eye"))
        model.graph.node[-1].output[0] = "exact"
        model.graph.node.append(helper.make_node("MatMul", ["exact", "eye"], ["last_hidden_state"]))

    folder = write_encoder(tmp_path, changed(encoder_file(), multiply))
    encoder = read_encoder(folder, quantize="int8")
    assert encoder.settings.runs_alone
    assert (
        "The encoder's weights are stored in int8; the head is trained on what it gives then."
        in encoder.notes
    )


# What is refused


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    refuses(tmp_path / "none", "none is not a folder; an encoder is a folder with model.onnx and tokenizer")


@pytest.mark.parametrize(
    ("missing", "instead", "message"),
    [
        (NETWORK, "", "has no model.onnx or onnx/model.onnx, the network of the encoder"),
        (NETWORK, "model.safetensors", "is a checkpoint of PyTorch (model.safetensors) without a network"),
        (TOKENIZER, "vocab.txt", "has no tokenizer.json; make it from the tokenizer's other files"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused(
    tmp_path: Path, missing: str, instead: str, message: str
) -> None:
    folder = write_encoder(tmp_path)
    (folder / missing).unlink()
    if instead:
        (folder / instead).write_bytes(b"")
    refuses(folder, message)


def _replace_last(model: onnx.ModelProto, operator: str, **attributes: int) -> None:
    last = model.graph.node[-1]
    last.CopyFrom(helper.make_node(operator, last.input, last.output, **attributes))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            network_file,
            "has the output logits, so it is not a sentence encoder; `text-classifier import` takes",
        ),
        (
            lambda: encoder_file(outputs=("one", "other")),
            "has the outputs one, other; a sentence encoder has one output, or one that is called "
            "last_hidden_state, token_embeddings, sentence_embedding",
        ),
        (lambda: encoder_file(inputs=("input_ids",)), "has no input attention_mask, which says over which"),
        (
            lambda: encoder_file(inputs=("input_ids", "pixels")),
            "has the inputs input_ids, pixels; a sentence",
        ),
        (
            lambda: encoder_file(vectors=np.full_like(table(), np.nan)),
            "the weights 'table' have a value that",
        ),
        (
            lambda: changed(encoder_file(), lambda model: _replace_last(model, "Log")),
            "the output 'last_hidden_state' has a value that is not finite",
        ),
        (
            lambda: changed(encoder_file(), lambda model: _replace_last(model, "Flatten", axis=2)),
            f"for a text of 256 tokens the output 'last_hidden_state' has the shape (256, {DIMENSIONS}); it",
        ),
    ],
)
def test_a_network_that_is_no_sentence_encoder_is_refused(
    tmp_path: Path, network: Callable[[], bytes], message: str
) -> None:
    refuses(write_encoder(tmp_path, network()), message)


@pytest.mark.parametrize(
    ("max_tokens", "message"),
    [
        (2, "at most 2 tokens are read, but 2 of them are special tokens; --max-tokens must be greater"),
        (41, "--max-tokens is 41; the model has positions for 40 tokens"),
    ],
)
def test_a_number_of_tokens_that_cannot_be_read_is_refused(
    tmp_path: Path, max_tokens: int, message: str
) -> None:
    refuses(write_encoder(tmp_path, max_position_embeddings=40), message, max_tokens)


def test_a_broken_tokenizer_is_refused_with_its_file(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path)
    (folder / TOKENIZER).write_text('{"model": {}}')
    refuses(folder, "tokenizer.json")


def test_the_dimensions_are_those_of_the_output(encoder: SentenceEncoder) -> None:
    assert encoder.dimensions == DIMENSIONS
