"""A tiny transformer: a tokenizer of word pieces, and a network that is a mean over tokens."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper

from classifier.runtimes.network import NETWORK, Network
from classifier.runtimes.transformer import (
    TOKENIZER,
    TransformerRuntime,
    TransformerSettings,
    WordPieces,
)
from classifier.text import TextSettings

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "film", "##s", "great", "movie", "!")
"""The position of a piece is its id."""

LABELS = ("bad", "good")
POSITIONS = 16
"""Most tokens of a text, special ones included."""

RAW = TextSettings(normalize=None, strip_html=False, lowercase=False, max_tokens=POSITIONS - 2)


def tokenizer_file(pieces: Sequence[str] = PIECES) -> bytes:
    """Return the content of a `tokenizer.json` that asks for padding to 8 tokens and cuts after 4."""
    model = tokenizers.models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=PIECES[1])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=8, pad_id=0, pad_token=PIECES[0])
    tokenizer.enable_truncation(4)
    content: bytes = tokenizer.to_str().encode()
    return content


def network_file(
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    classes: int = 2,
    element: int = TensorProto.INT64,
    seed: int = 0,
    positions: int = POSITIONS,
) -> bytes:
    """Return a network: the mean of the embeddings of tokens, positions and types, times a matrix.

    Without `attention_mask` it also reads padding.
    """
    random = np.random.default_rng(seed)
    tables = {
        "input_ids": random.normal(size=(len(PIECES), 8)),
        "position_ids": random.normal(size=(positions, 8)),
        "token_type_ids": random.normal(size=(2, 8)),
    }
    initializers = [
        numpy_helper.from_array(random.normal(size=(8, classes)).astype(np.float32), "head"),
        numpy_helper.from_array(np.array([1]), "tokens"),
        numpy_helper.from_array(np.array([2]), "hidden"),
    ]
    nodes, total = [], ""
    for name in (name for name in inputs if name in tables):
        initializers.append(numpy_helper.from_array(tables[name].astype(np.float32), f"table_{name}"))
        nodes.append(helper.make_node("Gather", [f"table_{name}", name], [f"of_{name}"]))
        if total:
            nodes.append(helper.make_node("Add", [total, f"of_{name}"], [f"with_{name}"]))
        total = f"with_{name}" if total else f"of_{name}"
    if "attention_mask" in inputs:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "hidden"], ["wide_mask"]),
            helper.make_node("Mul", [total, "wide_mask"], ["read"]),
            helper.make_node("ReduceSum", ["read", "tokens"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["mask", "tokens"], ["count"], keepdims=1),
            helper.make_node("Div", ["sum", "count"], ["mean"]),
        ]
    else:
        nodes.append(helper.make_node("ReduceMean", [total], ["mean"], axes=[1], keepdims=0))
    nodes.append(helper.make_node("MatMul", ["mean", "head"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info(name, element, ["n", "length"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def runtime(
    network: bytes | None = None, text: TextSettings = RAW, classes: int = 2, **settings: Any
) -> TransformerRuntime:
    """Return a runtime of the tiny transformer."""
    chosen = TransformerSettings(**({"pad_id": 0, "unknown_id": 1} | settings))
    pieces = WordPieces(tokenizer_file(), text, chosen.unknown_id, "requirements/transformer.txt")
    loaded = Network(network or network_file(classes=classes), "requirements/transformer.txt")
    return TransformerRuntime(loaded, chosen, pieces, text, classes)


def write_folder(folder: Path, network: bytes | None = None, **config: Any) -> Path:
    """Write the tiny transformer as a folder of Hugging Face; None leaves a key out of its config."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NETWORK).write_bytes(network or network_file())
    (folder / TOKENIZER).write_bytes(tokenizer_file())
    said = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "id2label": {"0": "bad", "1": "good"},
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
    } | config
    (folder / "config.json").write_text(
        json.dumps({key: value for key, value in said.items() if value is not None})
    )
    return folder


def changed(network: bytes, change: Any) -> bytes:
    """Return a network after a function has changed its `onnx.ModelProto`."""
    model = onnx.load_model_from_string(network)
    change(model)
    content: bytes = model.SerializeToString()
    return content
