"""Checkpoints: what the exporter refuses before it reads a weight, and how an import runs the exporter."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import RefusedCheckpoint
from exporter.folder import open_checkpoint
from training_import.conversion.checkpoints import export_checkpoint, predict_with_checkpoint
from training_import.conversion.converted import UnsupportedModel

CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "id2label": {"0": "no", "1": "yes"},
}


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose files are those of a checkpoint, with empty weights."""
    path = tmp_path / "checkpoint"
    path.mkdir()
    write_json(path / "config.json", CONFIG)
    (path / "model.safetensors").touch()
    return path


def refusal(folder: Path, trust_pickle: bool = False) -> str:
    with pytest.raises(RefusedCheckpoint) as error:
        open_checkpoint(folder, trust_pickle)
    return str(error.value)


def test_a_checkpoint_of_a_classifier_is_accepted(folder: Path) -> None:
    checkpoint = open_checkpoint(folder, trust_pickle=False)
    assert checkpoint.labels == 2
    assert not checkpoint.is_pickle
    assert not checkpoint.has_several_labels
    write_json(folder / "config.json", CONFIG | {"problem_type": "multi_label_classification"})
    assert open_checkpoint(folder, trust_pickle=False).has_several_labels


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architectures": ["BertModel"]}, "the architecture is 'BertModel'; only architectures whose names"),
        ({"architectures": ["BertForTokenClassification"]}, "'BertForTokenClassification'"),
        ({"architectures": None}, "architectures is None; it must be a list with one name"),
        ({"architectures": ["A", "B"]}, "architectures is ['A', 'B']; it must be a list with one name"),
        ({"problem_type": "regression"}, "problem_type is 'regression'; a regression gives a number"),
        ({"id2label": {"0": "score"}}, "the model has one label, which makes it a regression"),
        ({"num_labels": 3}, "num_labels is 3, but id2label has 2 labels"),
        ({"id2label": None, "num_labels": "two"}, "num_labels is 'two'; it must be a whole number"),
        (
            {"id2label": {"0": "a", "2": "b"}},
            "the keys of id2label are ['0', '2']; they must be the positions",
        ),
        ({"id2label": ["a", "b"]}, "the keys of id2label are None; they must be the positions"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "has 'auto_map', so the checkpoint needs Python code"),
        ({"quantization_config": {"bits": 4}}, "has 'quantization_config': the weights are quantized"),
        ({"transformers_weights": "other.bin"}, "the weights must be in model.safetensors"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_configuration_that_is_not_of_a_classifier_is_refused(
    folder: Path, change: dict[str, object], said: str
) -> None:
    write_json(folder / "config.json", CONFIG | change)
    message = refusal(folder)
    assert said in message
    assert str(folder / "config.json") in message


def test_a_tokenizer_with_its_own_code_is_refused(folder: Path) -> None:
    write_json(folder / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}})
    assert f"{folder / 'tokenizer_config.json'} has 'auto_map'" in refusal(folder)


def test_ten_labels_and_more_are_in_the_order_of_their_numbers(folder: Path) -> None:
    names = {str(number): f"label {number}" for number in range(12)}
    write_json(folder / "config.json", CONFIG | {"id2label": names})
    assert open_checkpoint(folder, trust_pickle=False).labels == 12


def test_a_configuration_without_labels_has_the_two_that_transformers_assumes(folder: Path) -> None:
    write_json(folder / "config.json", CONFIG | {"id2label": None})
    assert open_checkpoint(folder, trust_pickle=False).labels == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "is not JSON"), ("[1]", "has a list; it must have a JSON object"), ("[" * 100_000, "is not JSON")],
    ids=["broken", "list", "deep"],
)
def test_a_broken_configuration_is_refused(folder: Path, content: str, said: str) -> None:
    (folder / "config.json").write_text(content, encoding="utf-8")
    assert f"{folder / 'config.json'} {said}" in refusal(folder)


def test_a_folder_without_a_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert refusal(folder) == f"{folder} has no config.json, which says what the network is"


def test_a_file_is_not_a_checkpoint(folder: Path) -> None:
    assert "is not a folder" in refusal(folder / "model.safetensors")


def test_a_pickle_is_refused_unless_it_is_trusted(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin is a pickle, and nothing of it was read" in refusal(folder)
    assert open_checkpoint(folder, trust_pickle=True).is_pickle


def test_a_trusted_pickle_is_not_read_if_there_are_safe_weights(folder: Path) -> None:
    (folder / "pytorch_model.bin").touch()
    assert not open_checkpoint(folder, trust_pickle=True).is_pickle


def test_weights_of_other_frameworks_are_not_enough(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    assert "has no weights of PyTorch; they must be in model.safetensors" in refusal(folder)


def test_an_adapter_is_refused(folder: Path) -> None:
    write_json(folder / "adapter_config.json", {})
    assert "has adapter_config.json: an adapter changes the weights of another model" in refusal(folder)


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        ({"a": "../a.safetensors"}, "names the file '../a.safetensors', which is not in the folder itself"),
        ({"a": "/elsewhere/a.safetensors"}, "which is not in the folder itself"),
        ({"a": "a.safetensors"}, "names the file 'a.safetensors', which does not exist"),
        ({}, "has no 'weight_map'"),
        ("a.safetensors", "has no 'weight_map'"),
    ],
)
def test_a_list_of_shards_that_are_not_in_the_folder_is_refused(
    folder: Path, shards: object, said: str
) -> None:
    (folder / "model.safetensors").unlink()
    write_json(folder / "model.safetensors.index.json", {"weight_map": shards})
    assert said in refusal(folder)


def test_without_the_environment_an_import_says_how_to_make_it(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel) as error:
        export_checkpoint(folder, tmp_path / "output", False, python=tmp_path / "missing" / "python")
    assert str(error.value) == (
        f"{folder} is a checkpoint of PyTorch; `make export-deps` makes the environment that exports it "
        f"(5.6 GB), or export it yourself with `optimum-cli export onnx --model {folder} OUT`"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program in place of the exporter's interpreter; a test writes what it does."""
    path = tmp_path / "program"
    path.touch(mode=0o755)
    return path


def let(program: Path, code: str) -> None:
    program.write_text(
        f"#!{sys.executable}\nimport json, os, pathlib, signal, sys\n{code}\n", encoding="utf-8"
    )


EXPORT = """
output = pathlib.Path(sys.argv[5])
output.mkdir()
(output / "model.onnx").write_text(json.dumps([sys.argv[1:], sorted(os.environ)]))
"""


def test_an_export_becomes_a_folder_only_when_it_is_complete(
    folder: Path, program: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    let(program, EXPORT + f"print(json.dumps([str(pathlib.Path({str(output)!r}).exists())]))")
    assert export_checkpoint(folder, output, True, python=program) == ("False",)
    arguments, _ = json.loads((output / "model.onnx").read_text())
    assert arguments[:4] == ["-m", "exporter", "export", str(folder)]
    assert arguments[5:] == ["--trust-pickle"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "output", "program"]


def test_the_exporter_gets_no_variables_with_secrets(
    folder: Path, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    let(program, EXPORT + "print([])")
    export_checkpoint(folder, tmp_path / "output", False, python=program)
    _, variables = json.loads((tmp_path / "output" / "model.onnx").read_text())
    assert {"HF_TOKEN", "PYTHONPATH"} <= set(os.environ)
    assert not {"HF_TOKEN", "PYTHONPATH"} & set(variables)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (
            "sys.exit('a warning\\nthe reason')",
            "the exporter could not export {folder}: it ended with code 1: the reason",
        ),
        ("sys.stderr.write('a warning\\nthe reason\\n'); sys.exit(2)", "the reason"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "the exporter could not export {folder}: it was ended by the signal SIGKILL: it gave no reason",
        ),
    ],
    ids=["crashed", "refused", "killed"],
)
def test_an_export_that_fails_says_why_and_leaves_nothing(
    folder: Path, program: Path, tmp_path: Path, end: str, said: str
) -> None:
    let(program, EXPORT + end)
    with pytest.raises(UnsupportedModel) as error:
        export_checkpoint(folder, tmp_path / "output", False, python=program)
    assert str(error.value) == said.format(folder=folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "program"]


def test_texts_and_probabilities_go_through_the_program(folder: Path, program: Path) -> None:
    let(
        program,
        "tokens = int(sys.argv[5].removeprefix('--max-tokens='))\n"
        "print(json.dumps([[len(text), tokens] for text in json.load(sys.stdin)]))",
    )
    probabilities = predict_with_checkpoint(folder, ["a", "日本\ud800"], False, 7, python=program)
    assert probabilities.dtype == np.float64
    assert probabilities.tolist() == [[1, 7], [3, 7]]
