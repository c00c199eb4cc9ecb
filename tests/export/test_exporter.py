"""The exporter in its environment: exact graphs and tokenizers of each architecture, and what it refuses."""

import json
import pickle
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from exported import MAX_TOKENS, Answers
from numpy.typing import NDArray
from safetensors_file import read_tensors, write_tensors
from tokenizers import Tokenizer

from training_import.conversion.checkpoints import (
    EXPORT_PYTHON,
    ROOT,
    export_checkpoint,
    predict_with_checkpoint,
)
from training_import.conversion.converted import UnsupportedModel

SAMPLES = ROOT / "tests" / "data" / "transformers"

INPUTS = {
    "bert": ["input_ids", "attention_mask", "token_type_ids"],
    "distilbert": ["input_ids", "attention_mask"],
    "roberta": ["input_ids", "attention_mask"],
    "deberta-v2": ["input_ids", "attention_mask"],
    "electra": ["input_ids", "attention_mask", "token_type_ids"],
    "albert": ["input_ids", "attention_mask"],
    "xlm-roberta": ["input_ids", "attention_mask"],
    "modernbert": ["input_ids", "attention_mask"],
    "several-labels": ["input_ids", "attention_mask", "token_type_ids"],
}

BATCH = 16
TOLERANCE = 1e-4


def probabilities(folder: Path, texts: Sequence[str], batch: int) -> NDArray[np.float64]:
    """What ONNX Runtime and `tokenizers` give for an export, in padded batches of this size."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    config = json.loads((folder / "config.json").read_text())
    padding = config["pad_token_id"]
    names = [value.name for value in session.get_inputs()]
    rows: list[NDArray[np.float64]] = []
    for start in range(0, len(texts), batch):
        encodings = tokenizer.encode_batch(list(texts[start : start + batch]))
        longest = max(len(encoding) for encoding in encodings)
        for encoding in encodings:
            encoding.pad(longest, pad_id=padding)
        values = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        (logits,) = session.run(None, {name: np.array(values[name], np.int64) for name in names})
        if config.get("problem_type") == "multi_label_classification":
            rows.append(1 / (1 + np.exp(-logits.astype(np.float64))))
            continue
        powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        rows.append(powers / powers.sum(axis=1, keepdims=True))
    return np.concatenate(rows)


@pytest.mark.parametrize("name", INPUTS)
def test_an_export_gives_the_answers_of_transformers(
    checkpoints: Path, exports: Mapping[str, Future[Answers]], texts: list[str], name: str
) -> None:
    folder, expected = exports[name].result()
    graph = onnx.load(folder / "model.onnx").graph
    assert [value.name for value in graph.input] == INPUTS[name]
    assert [value.name for value in graph.output] == ["logits"]
    assert expected.std(axis=0).max() > 0.1
    assert np.abs(probabilities(folder, texts, 1) - expected).max() < TOLERANCE
    assert np.abs(probabilities(folder, texts, BATCH) - expected).max() < TOLERANCE
    for file in ("config.json", "tokenizer_config.json"):
        assert (folder / file).read_bytes() == (checkpoints / name / file).read_bytes()


@pytest.mark.parametrize("name", INPUTS)
def test_the_committed_samples_give_the_committed_answers(name: str) -> None:
    lines = (SAMPLES / name / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    expected = [json.loads(line) for line in lines]
    found = probabilities(SAMPLES / name, [line["text"] for line in expected], BATCH)
    assert np.abs(found - np.array([line["probabilities"] for line in expected])).max() < TOLERANCE


@pytest.fixture
def checkpoint(checkpoints: Path, tmp_path: Path) -> Path:
    """A copy of the BERT, which a test may change."""
    return shutil.copytree(checkpoints / "bert", tmp_path / "checkpoint")


def refusal(checkpoint: Path, trust_pickle: bool = False) -> str:
    """The reason why a checkpoint is not exported; nothing may be left of the export."""
    output = checkpoint.parent / "output"
    before = sorted(checkpoint.parent.iterdir())
    with pytest.raises(UnsupportedModel) as error:
        export_checkpoint(checkpoint, output, trust_pickle)
    assert sorted(checkpoint.parent.iterdir()) == before
    return str(error.value)


def change_config(checkpoint: Path, **changes: Any) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_head_without_weights_is_refused(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    write_tensors(
        weights, {k: v for k, v in read_tensors(weights).items() if not k.startswith("classifier.")}
    )
    assert (
        f"{checkpoint} has no weights for classifier.bias, classifier.weight, so these parts of "
        "BertForSequenceClassification would have random values"
    ) in refusal(checkpoint)


def test_a_head_for_another_number_of_labels_is_refused(checkpoint: Path) -> None:
    change_config(checkpoint, id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    assert (
        "the weight 'classifier.bias' has the shape (2,), but in the network that config.json describes it "
        "has (3,)"
    ) in refusal(checkpoint)


def test_a_network_that_the_weights_cannot_fill_is_refused_before_it_takes_memory(checkpoint: Path) -> None:
    change_config(checkpoint, vocab_size=10**12)
    assert "describes a network of 16,0" in refusal(checkpoint)


def test_a_weight_that_is_not_a_number_is_refused(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    tensors = read_tensors(weights)
    about, values = tensors["classifier.weight"]
    tensors["classifier.weight"] = (about, np.float32(np.nan).tobytes() + values[4:])
    write_tensors(weights, tensors)
    assert "the weight 'classifier.weight' has values that are not finite numbers" in refusal(checkpoint)


def test_a_broken_file_of_weights_is_refused(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"\0" * 10**6)
    assert f"transformers cannot load {checkpoint}: " in refusal(checkpoint)


def test_an_architecture_that_transformers_does_not_have_is_refused(checkpoint: Path) -> None:
    change_config(checkpoint, model_type="unheard", architectures=["UnheardForSequenceClassification"])
    assert "unheard" in refusal(checkpoint)


def test_a_weight_that_is_not_used_is_noted(checkpoint: Path, tmp_path: Path) -> None:
    weights = checkpoint / "model.safetensors"
    tensors = read_tensors(weights)
    write_tensors(weights, tensors | {"decoder.weight": tensors["classifier.weight"]})
    notes = export_checkpoint(checkpoint, tmp_path / "output", False)
    assert notes == (
        "Weights of the checkpoint that BertForSequenceClassification does not use: decoder.weight.",
    )


def in_exporter(code: str, *arguments: Path) -> None:
    """Run code in the environment of the exporter."""
    subprocess.run([EXPORT_PYTHON, "-c", code, *arguments], cwd=ROOT, check=True)


TO_PICKLE = """
import sys, torch
from safetensors.torch import load_file
torch.save(load_file(sys.argv[1] + "/model.safetensors"), sys.argv[1] + "/pytorch_model.bin")
"""


def test_a_trusted_pickle_gives_the_same_answers(
    checkpoint: Path, exports: Mapping[str, Future[Answers]], texts: list[str]
) -> None:
    _, expected = exports["bert"].result()
    in_exporter(TO_PICKLE, checkpoint)
    (checkpoint / "model.safetensors").unlink()
    assert "pytorch_model.bin is a pickle" in refusal(checkpoint)
    found = predict_with_checkpoint(checkpoint, texts, True, MAX_TOKENS)
    assert np.abs(found - expected).max() < TOLERANCE


TO_LARGE = """
import sys, exporter.__main__
from pathlib import Path
from exporter.folder import open_checkpoint
from exporter.graph import write_graph
from exporter.network import load_network
network, _ = load_network(open_checkpoint(Path(sys.argv[1]), False))
names = ["input_ids", "attention_mask", "token_type_ids"]
write_graph(network, names, Path(sys.argv[2]), max_file_bytes=1000)
"""


def test_weights_that_are_too_large_for_one_file_are_in_a_file_beside_it(
    checkpoints: Path, exports: Mapping[str, Future[Answers]], tmp_path: Path, texts: list[str]
) -> None:
    folder, expected = exports["bert"].result()
    output = tmp_path / "output"
    output.mkdir()
    in_exporter(TO_LARGE, checkpoints / "bert", output / "model.onnx")
    assert sorted(path.name for path in output.iterdir()) == ["model.onnx", "model.onnx.data"]
    for name in ("tokenizer.json", "config.json"):
        shutil.copyfile(folder / name, output / name)
    assert np.abs(probabilities(output, texts, BATCH) - expected).max() < TOLERANCE


class _Payload:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_code_in_a_trusted_pickle_does_not_run(checkpoint: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    # A file that is too small for the weights that config.json describes would not be read at all.
    enough = bytes((checkpoint / "model.safetensors").stat().st_size)
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps([_Payload(touched), enough], protocol=2))
    assert f"transformers cannot load {checkpoint}: " in refusal(checkpoint, trust_pickle=True)
    assert not touched.exists()


def test_a_tokenizer_with_more_tokens_than_the_network_is_refused(checkpoint: Path) -> None:
    path = checkpoint / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens(["another"])
    tokenizer.save(str(path))
    assert "the tokenizer has a token with the id 300, but the network only knows 300" in refusal(checkpoint)


def test_a_broken_tokenizer_is_refused(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").write_text("{}")
    assert f"transformers cannot load the tokenizer of {checkpoint}: " in refusal(checkpoint)


def test_a_tokenizer_file_is_used_as_it_is_and_a_difference_is_noted(
    checkpoints: Path, tmp_path: Path
) -> None:
    notes = export_checkpoint(checkpoints / "deberta-v2", tmp_path / "output", False)
    assert len(notes) == 1
    assert notes[0].startswith("tokenizer.json was used as it is. transformers ")
    assert "because its DebertaV2Tokenizer replaces parts of the file" in notes[0]
    original = Tokenizer.from_file(str(checkpoints / "deberta-v2" / "tokenizer.json"))
    exported = Tokenizer.from_file(str(tmp_path / "output" / "tokenizer.json"))
    assert json.loads(exported.to_str()) == json.loads(original.to_str())


def test_a_vocabulary_of_words_becomes_the_same_tokenizer(
    checkpoint: Path, tmp_path: Path, texts: list[str]
) -> None:
    original = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    words = sorted(original.get_vocab(), key=original.token_to_id)
    (checkpoint / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (checkpoint / "tokenizer.json").unlink()
    notes = export_checkpoint(checkpoint, tmp_path / "output", False)
    assert len(notes) == 1
    assert "from the vocabulary" in notes[0]
    made = Tokenizer.from_file(str(tmp_path / "output" / "tokenizer.json"))
    assert [made.encode(text).ids for text in texts] == [original.encode(text).ids for text in texts]


def test_a_checkpoint_without_a_tokenizer_is_refused(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    assert f"{checkpoint} has no tokenizer.json, and no vocab.txt to make it of; save" in refusal(checkpoint)


SENTENCEPIECE = """
import json, sys
import sentencepiece
with open("tests/data/agnews_test.jsonl", encoding="utf-8") as file:
    texts = [json.loads(line)["text"] for line in file]
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(texts), model_prefix=sys.argv[1],
    vocab_size=280, hard_vocab_limit=False, minloglevel=2,
    pad_id=0, bos_id=1, eos_id=2, unk_id=3,
    pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]",
)
"""


def test_a_file_of_sentencepiece_becomes_a_tokenizer_that_reads_alike(
    checkpoints: Path, tmp_path: Path
) -> None:
    checkpoint = shutil.copytree(checkpoints / "deberta-v2", tmp_path / "checkpoint")
    (checkpoint / "tokenizer.json").unlink()
    in_exporter(SENTENCEPIECE, checkpoint / "spm")
    notes = export_checkpoint(checkpoint, tmp_path / "output", False)
    assert len(notes) == 1
    assert "from spm.model; it reads 11 test texts as sentencepiece does" in notes[0]
    made = Tokenizer.from_file(str(tmp_path / "output" / "tokenizer.json"))
    assert made.encode("½ ２").ids == made.encode("1⁄2 2").ids


def test_a_text_is_read_up_to_the_given_number_of_tokens(checkpoint: Path) -> None:
    texts = ["oil is expensive", "oil prices fall", "prices fall"]
    first, second, third = predict_with_checkpoint(checkpoint, texts, False, 3)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_more_tokens_than_the_network_has_positions_are_refused(checkpoint: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"the model cannot score texts\[1\] with 70 tokens: "):
        predict_with_checkpoint(checkpoint, ["short", "word " * 200], False, 70)
