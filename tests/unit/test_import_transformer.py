"""Importing a folder of Hugging Face with a transformer in ONNX."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from tiny_transformer import POSITIONS, changed, network_file, tokenizer_file, write_folder

from classifier.artifact import read_artifact, write_artifact
from classifier.pipeline import load_classifier
from classifier.runtimes.network import NETWORK
from classifier.runtimes.transformer import TOKENIZER
from training_import.conversion import from_transformers
from training_import.conversion.converted import ImportOptions, UnsupportedModel
from training_import.conversion.import_model import Imported, convert_and_compare
from training_import.conversion.network_sizes import quantized

TEXTS = [
    f"{a} {b} film{s}{end}"
    for a in ("a", "good")
    for b in ("bad", "great")
    for s in ("", "s")
    for end in "!?"
]


def imported(folder: Path, texts: list[str] | None = None, **options: Any) -> Imported:
    return convert_and_compare(folder, ImportOptions(name="tiny", **options), texts or [])


def refuses(folder: Path, message: str, **options: Any) -> None:
    with pytest.raises(UnsupportedModel, match=re.escape(message)):
        imported(folder, **options)


# What an import does


@pytest.mark.parametrize("place", [NETWORK, f"onnx/{NETWORK}"])
def test_a_folder_becomes_an_artifact_that_answers_like_it(tmp_path: Path, place: str) -> None:
    folder = write_folder(tmp_path / "source")
    (folder / "onnx").mkdir()
    (folder / NETWORK).rename(folder / place)
    found = imported(folder, TEXTS)
    assert found.comparisons[0].largest <= 1e-6
    assert (found.comparisons[0].texts, found.comparisons[0].real) == (200 + 2, len(TEXTS))
    assert found.labels.names == ("bad", "good")
    write_artifact(found.artifact, tmp_path / "artifact")
    classifier = load_classifier(tmp_path / "artifact")
    assert classifier.manifest.text.max_tokens == POSITIONS - 2
    (prediction,) = classifier.predict(["good " * 100])
    assert prediction.warnings == ("cut: only the first 14 tokens of the text were read",)


def test_a_network_that_reads_ids_of_32_bits_is_imported(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, network_file(element=TensorProto.INT32))
    assert imported(folder, TEXTS).comparisons[0].largest <= 1e-6


def test_weights_in_another_file_become_part_of_the_network(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "source")
    onnx.save(
        onnx.load_model_from_string(network_file()),
        folder / NETWORK,
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=0,
    )
    assert external_data_helper.uses_external_data(
        onnx.load(folder / NETWORK, load_external_data=False).graph.initializer[0]
    )
    found = imported(folder)
    write_artifact(found.artifact, tmp_path / "artifact")
    assert set(read_artifact(tmp_path / "artifact").weights) == {NETWORK, TOKENIZER}
    assert found.comparisons[0].largest <= 1e-6


def test_labels_that_say_nothing_are_reported(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, id2label={"0": "LABEL_0", "1": "LABEL_1"})
    assert imported(folder).labels.names == ("LABEL_0", "LABEL_1")
    assert any(
        "LABEL_0, LABEL_1, which does not say what they mean" in note for note in imported(folder).notes
    )
    assert imported(folder, labels=("bad", "good")).labels.names == ("bad", "good")


def test_fewer_tokens_can_be_read(tmp_path: Path) -> None:
    found = imported(write_folder(tmp_path), max_tokens=8)
    assert found.artifact.manifest.text.max_tokens == 6


@pytest.mark.parametrize(
    ("config", "said", "expected"),
    [
        ({}, None, POSITIONS),
        ({}, 12, 12),
        ({}, 1e30, POSITIONS),
        ({"model_type": "roberta", "pad_token_id": 1}, None, POSITIONS - 2),
        ({"model_type": "roberta", "pad_token_id": 1}, 12, 12),
    ],
    ids=["positions", "tokenizer", "no limit of the tokenizer", "RoBERTa", "RoBERTa's tokenizer"],
)
def test_the_length_that_is_read_is_the_smallest_that_the_folder_names(
    tmp_path: Path, config: dict[str, Any], said: float | None, expected: int
) -> None:
    folder = write_folder(tmp_path, **config)
    if said is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": said}))
    assert imported(folder).artifact.manifest.text.max_tokens == expected - 2


def test_a_tokenizer_that_cuts_at_the_beginning_keeps_the_end(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "tokenizer_config.json").write_text(json.dumps({"truncation_side": "left"}))
    found = imported(folder, ["bad " * 50 + "good"])
    assert found.artifact.manifest.text.keep == "last"
    assert found.comparisons[0].largest <= 1e-6


def test_html_can_be_stripped_before_the_tokenizer(tmp_path: Path) -> None:
    found = imported(write_folder(tmp_path), ["<b>good</b> film"], strip_html=True)
    assert found.artifact.manifest.text.strip_html
    assert found.comparisons[0].largest <= 1e-6


def test_the_card_names_both_files(tmp_path: Path) -> None:
    card = imported(write_folder(tmp_path / "mine")).artifact.model_card
    assert re.search(
        r"Imported from mine \(SHA-256 of model\.onnx \w{64}; SHA-256 of tokenizer\.json \w{64}\)", card
    )


def test_int8_is_smaller_and_says_what_it_changed(tmp_path: Path) -> None:
    found = imported(write_folder(tmp_path), TEXTS, quantize="int8", min_agreement=0.5)
    measured = found.artifact.manifest.quantization
    assert measured is not None
    assert (measured.dtype, measured.accuracy_cost) == ("int8", None)
    assert measured.agreement is not None
    assert 0.5 <= measured.agreement <= 1
    assert 0 < measured.largest_difference < 0.2
    assert found.artifact.manifest.model.runs_alone
    assert any("Its weights are stored in int8" in note for note in found.notes)


def test_a_network_with_operators_of_onnx_runtime_can_be_stored_in_int8(tmp_path: Path) -> None:
    def add_gelu(model: Any) -> None:
        (last,) = [node for node in model.graph.node if node.op_type == "MatMul"]
        gelu = helper.make_node("Gelu", [last.input[0]], ["gelu"], domain="com.microsoft")
        last.input[0], last.output[0] = "gelu", "scores"  # ONNX does not know the type of both.
        model.graph.node.insert(len(model.graph.node) - 1, gelu)
        model.graph.node.append(helper.make_node("Identity", ["scores"], ["logits"]))
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    folder = write_folder(tmp_path, changed(network_file(), add_gelu))
    assert imported(folder, quantize="int8", min_agreement=0.5).artifact.manifest.quantization is not None


def test_a_network_that_is_in_int8_already_runs_texts_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, quantized(network_file()))
    assert imported(folder).artifact.manifest.model.runs_alone


def test_int8_says_what_it_costs_where_the_labels_are_known(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    options = ImportOptions(name="tiny", quantize="int8", min_agreement=0.5)
    labels = ["good" if "good" in text else "bad" for text in TEXTS]
    measured = convert_and_compare(folder, options, TEXTS, labels).artifact.manifest.quantization
    assert measured is not None
    assert measured.accuracy_cost is not None


def test_int8_is_refused_if_too_many_labels_change(tmp_path: Path) -> None:
    def flatten(model: Any) -> None:
        (head,) = [each for each in model.graph.initializer if each.name == "head"]
        values = np.repeat(numpy_helper.to_array(head)[:, :1], 2, axis=1)
        values[0, 1] += 1e-4
        head.CopyFrom(numpy_helper.from_array(values, "head"))

    folder = write_folder(tmp_path, changed(network_file(), flatten))
    refuses(folder, "generated texts have another label (", quantize="int8", min_agreement=1.0)


# What is refused


def external(location: str, **place: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in ({"location": location} | place).items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def not_finite(model: Any) -> None:
    values = numpy_helper.to_array(model.graph.initializer[0]).copy()
    values[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, model.graph.initializer[0].name))


def of_one_text(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def custom_operator(model: Any) -> None:
    model.graph.node[0].domain = "com.example"


def loop(model: Any) -> None:
    model.graph.node[0].op_type = "Loop"


def renamed_input(model: Any) -> None:
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[place] = "pixel_values"
    model.graph.input[1].name = "pixel_values"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external("../secret"), "in '../secret', outside of its folder"),
        (external("/etc/passwd"), "in '/etc/passwd', outside of its folder"),
        (external("a/../../secret"), "outside of its folder"),
        (external(""), "in '', outside of its folder"),
        (external("missing"), "in missing, which cannot be read: No such file or directory"),
        (external("config.json", offset="0", length="9999999"), "end at byte 9,999,999 of config.json"),
        (external("config.json", offset="-1"), "have the offset '-1'"),
        (external("config.json", length="99999999999"), "bytes of weights; at most"),
        (external("config.json", length="8"), "cannot be read"),
        (not_finite, "have a value that is not finite"),
        (
            of_one_text,
            "the input 'input_ids' has the shape (1, 0); the number of texts and of tokens must be open",
        ),
        (custom_operator, "has the custom operator com.example."),
        (loop, "has the operator Loop, which no transformer needs and which can run without end"),
        (renamed_input, "has the input 'pixel_values'"),
    ],
)
def test_a_network_that_cannot_be_served_is_refused(
    tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    refuses(write_folder(tmp_path, changed(network_file(), change)), message)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"problem_type": "multilabel"}, "problem_type is 'multilabel'; it must be"),
        ({"problem_type": "regression"}, "this service predicts labels, not numbers"),
        ({"architectures": ["BertForTokenClassification"]}, "the model is BertForTokenClassification; only"),
        ({"architectures": ["BertModel"]}, "the model is BertModel; only"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "names 3 classes"),
        ({"id2label": {"1": "a", "2": "b"}}, "id2label names the classes ['1', '2']; they must be 0 to 1"),
        ({"id2label": ["a", "b"]}, "id2label is ['a', 'b']; it must be {class: name}"),
        ({"id2label": {"0": 1, "1": 2}}, "it must be {class: name}"),
        ({"id2label": {"0": "a", "1": "a"}}, "each class needs a different name"),
        ({"max_position_embeddings": "64"}, "max_position_embeddings is '64'; it must be a whole number"),
        ({"pad_token_id": "0"}, "the id of the padding is '0'; it must be a whole number"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    refuses(write_folder(tmp_path, **config), message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "config.json is not JSON"),
        ("config.json", b"[]", "config.json is not a JSON object"),
        ("config.json", b"[" * 100_000, "config.json is not JSON"),
        (TOKENIZER, b"{", "tokenizer.json is not a tokenizer"),
        (TOKENIZER, b"[]", "tokenizer.json is not a tokenizer"),
        (TOKENIZER, b'{"model": {"vocab": {}}}', "tokenizer.json cannot be read by tokenizers"),
        (NETWORK, b"broken", "is not an ONNX file"),
        (NETWORK, b"", "is not an ONNX file"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    folder = write_folder(tmp_path)
    (folder / name).write_bytes(content)
    refuses(folder, message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (NETWORK, "is a folder without model.onnx or onnx/model.onnx"),
        (TOKENIZER, "has no tokenizer.json; make it from the tokenizer's other files with transformers"),
        ("config.json", "has no config.json, which has the labels"),
    ],
)
def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path, name: str, message: str) -> None:
    folder = write_folder(tmp_path)
    (folder / name).unlink()
    refuses(folder, message)


def test_a_tokenizer_of_200_megabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    with (folder / TOKENIZER).open("r+b") as file:
        file.truncate(200 * 2**20)
    refuses(folder, "tokenizer.json has 209,715,200 bytes; at most 67,108,864 are read")


def test_a_broken_regular_expression_of_the_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    content = json.loads(tokenizer_file())
    split = {"type": "Split", "pattern": {"Regex": "(["}, "behavior": "Isolated", "invert": False}
    (folder / TOKENIZER).write_text(json.dumps(content | {"pre_tokenizer": split}))
    refuses(folder, "tokenizer.json cannot be read by tokenizers")


def with_tokenizer(folder: Path, **parts: Any) -> Path:
    """Write the folder of the tiny transformer with other parts of its tokenizer."""
    write_folder(folder)
    (folder / TOKENIZER).write_text(json.dumps(json.loads(tokenizer_file()) | parts))
    return folder


def replacing(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"model": None}, "is not a tokenizer: it must be a JSON object with `model`"),
        ({"padding": "x"}, "tokenizer.json cannot be read by tokenizers"),
        (
            {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA////"}},
            "tokenizer.json cannot be read by tokenizers",
        ),
        (
            {"normalizer": replacing({"Regex": "(a+)+b"}, "x")},
            "characters of 'a', tokenizer.json cannot split",
        ),
        ({"normalizer": replacing({"String": "a"}, "a" * 10**6)}, "at most 2 s are allowed"),
    ],
    ids=["model", "padding", "characters", "steps", "length"],
)
def test_a_tokenizer_that_fails_or_takes_long_is_refused(
    tmp_path: Path, parts: dict[str, Any], message: str
) -> None:
    refuses(with_tokenizer(tmp_path, **parts), message)


def test_the_overlap_that_a_tokenizer_asks_for_is_ignored(tmp_path: Path) -> None:
    asked = {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 11}
    assert imported(with_tokenizer(tmp_path, truncation=asked)).comparisons[0].largest <= 1e-6


@pytest.mark.parametrize("special", [True, False])
def test_a_token_that_the_network_does_not_know_is_refused(tmp_path: Path, special: bool) -> None:
    token = {"id": 12, "content": "<x>", "single_word": False, "lstrip": False, "rstrip": False}
    added = [token | {"normalized": False, "special": special}]
    refuses(
        with_tokenizer(tmp_path, added_tokens=added),
        "model.onnx does not know the token '<x>' of tokenizer.json, whose id is 12",
    )


@pytest.mark.parametrize("id_", [12, 2**70])
def test_a_padding_that_the_network_does_not_know_is_refused(tmp_path: Path, id_: int) -> None:
    refuses(write_folder(tmp_path, pad_token_id=id_), f"does not know the padding, whose id is {id_}")


def test_an_architecture_that_is_not_a_name_is_ignored(tmp_path: Path) -> None:
    assert imported(write_folder(tmp_path, model_type=["bert"])).labels.names == ("bad", "good")


@pytest.mark.parametrize("name", ["config.json", TOKENIZER, NETWORK])
def test_a_pipe_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refuses(folder, f"{name} cannot be read: it is not a file")


def test_the_task_of_a_checkpoint_is_checked_before_it_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(from_transformers, "export_checkpoint")
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text('{"architectures": ["BertForMaskedLM"]}')
    refuses(tmp_path, "the model is BertForMaskedLM; only ...ForSequenceClassification")


def test_a_pipe_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    os.mkfifo(tmp_path / "config.json")
    refuses(tmp_path, "config.json cannot be read: it is not a file")


@pytest.mark.parametrize("name", ["config.json", TOKENIZER, NETWORK])
def test_a_file_that_git_did_not_fetch_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path)
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4a\nsize 90261504\n")
    refuses(folder, f"{name} is only a pointer of Git LFS; `git lfs pull` fetches the file")


def test_a_checkpoint_that_git_did_not_fetch_is_named_with_what_to_do(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / NETWORK).unlink()
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    refuses(folder, "model.safetensors is only a pointer of Git LFS; `git lfs pull` fetches the file")


@pytest.mark.parametrize("place", ["model_quantized.onnx", "onnx/model_fp16.onnx"])
def test_a_network_of_another_name_is_named(tmp_path: Path, place: str) -> None:
    folder = write_folder(tmp_path)
    (folder / "onnx").mkdir()
    (folder / NETWORK).rename(folder / place)
    refuses(folder, f"Rename {place} to model.onnx if it is the one that you mean")


@pytest.mark.parametrize("place", [NETWORK, f"onnx/{NETWORK}"])
def test_the_network_alone_is_refused_with_the_folder_to_import(tmp_path: Path, place: str) -> None:
    folder = write_folder(tmp_path)
    (folder / "onnx").mkdir()
    (folder / NETWORK).rename(folder / place)
    refuses(folder / place, f"which has its tokenizer; import {folder}")


@pytest.mark.parametrize("config", [{"architectures": ["BertModel"]}, None])
def test_a_sentence_encoder_is_refused_with_what_takes_it(
    tmp_path: Path, config: dict[str, Any] | None
) -> None:
    folder = write_folder(tmp_path, **(config or {}))
    if config is None:
        (folder / "config.json").unlink()
    refuses(folder, "`train --encoder` trains a classifier on")


def test_a_name_of_the_hub_is_refused_with_how_to_fetch_it() -> None:
    refuses(Path("no-such/model-v1.5"), "`hf download no-such/model-v1.5 --local-dir FOLDER` fetches it")
    with pytest.raises(
        UnsupportedModel, match=r"no-such/model\.onnx cannot be read: No such file or directory$"
    ):
        imported(Path("no-such/model.onnx"))


def test_a_fault_of_an_exported_checkpoint_names_the_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(_source: Path, output: Path, _trust_pickle: bool) -> tuple[str, ...]:
        write_folder(output, id2label={"0": 0, "1": 1})
        return ()

    monkeypatch.setattr(from_transformers, "export_checkpoint", export)
    (tmp_path / "model.safetensors").touch()
    refuses(tmp_path, f"{tmp_path}/config.json: id2label is {{'0': 0, '1': 1}}")


def in_a_file(location: str, tensors: int = 1, **place: str) -> bytes:
    """Return a network with weights in a file; `place` has their offset and length."""

    def change(model: Any) -> None:
        for number in range(tensors):
            tensor = model.graph.initializer.add(name=f"more{number}", data_type=TensorProto.FLOAT, dims=[4])
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in ({"location": location} | place).items():
                tensor.external_data.add(key=key, value=value)

    return changed(network_file(), change)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (in_a_file("pipe"), "cannot be read: it is not a file"),
        (in_a_file("large"), "has 4,294,967,296 bytes; at most 2,147,483,647 are read"),
        (in_a_file("half", tensors=5), "bytes of weights; at most 2,147,483,647 are read"),
        (in_a_file("half", length="9" * 5000), "have the length '999"),
        (in_a_file("a\0b"), "which cannot be read: embedded null byte"),
    ],
    ids=["pipe", "large", "many times", "digits", "name"],
)
def test_weights_that_would_take_all_memory_or_time_are_refused(
    tmp_path: Path, network: bytes, message: str
) -> None:
    folder = write_folder(tmp_path, network)
    os.mkfifo(folder / "pipe")
    for name, size in (("large", 2**32), ("half", 2**29)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    refuses(folder, message)


def test_one_score_or_one_for_each_token_is_no_classifier(tmp_path: Path) -> None:
    refuses(write_folder(tmp_path / "one", network_file(classes=1)), "gives one number for a text")

    def keep_tokens(model: Any) -> None:
        (last,) = [node for node in model.graph.node if node.op_type == "MatMul"]
        last.input[0] = "read"

    refuses(
        write_folder(tmp_path / "tokens", changed(network_file(), keep_tokens)),
        "a classifier gives one score for each class",
    )


def test_a_length_beyond_the_positions_is_refused(tmp_path: Path) -> None:
    refuses(
        write_folder(tmp_path), "--max-tokens is 17; the model has positions for 16 tokens", max_tokens=17
    )
    refuses(write_folder(tmp_path), "2 of them are special tokens", max_tokens=2)
    network = network_file(("input_ids", "position_ids"), positions=8)
    refuses(
        write_folder(tmp_path, network, max_position_embeddings=None),
        "cannot run a text of 512 tokens",
    )


def test_stop_words_and_options_of_other_models_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    refuses(folder, "stop words cannot be removed", stopwords=("the",))
    refuses(folder, "a word index goes with a Keras file only", word_index=folder / "config.json")
    refuses(folder, "which a vectorizer does not go with", vectorizer=folder / "config.json")


def test_only_transformers_are_quantized(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 16)
    refuses(path, "only a transformer can be quantized; this is a Keras file", quantize="int8")
