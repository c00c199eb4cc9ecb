"""A tiny sentence encoder, whose vectors of words are lines of a table and show their class."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from labelled import OPINIONS, OTHER_WORDS
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tiny_transformer import PIECES, tokenizer_file

from classifier.runtimes.network import NETWORK
from classifier.runtimes.transformer import TOKENIZER

WORDS = (*PIECES[:4], *(word for words in OPINIONS for word in words), *OTHER_WORDS)
"""The tokens by their ids: special ones, then the words of the tests' reviews."""

DIMENSIONS = 8


def table(seed: int = 0) -> NDArray[np.float32]:
    """Return the vector of each token, (tokens, dimensions)."""
    vectors = np.random.default_rng(seed).normal(size=(len(WORDS), DIMENSIONS))
    for class_, words in enumerate(OPINIONS):
        for word in words:
            vectors[WORDS.index(word), class_] += 3
    return vectors.astype(np.float32)


def encoder_file(
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    outputs: Sequence[str] = ("last_hidden_state",),
    vectors: NDArray[np.float32] | None = None,
) -> bytes:
    """Return an encoder. An output that begins with "pooled" or "sentence" is the first token's vector."""
    constants = [numpy_helper.from_array(table() if vectors is None else vectors, "table")]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["vectors"])]
    values = []
    for name in outputs:
        if name.startswith(("pooled", "sentence")):
            constants.append(numpy_helper.from_array(np.array(1), f"second_of_{name}"))
            nodes.append(helper.make_node("Gather", ["vectors", f"second_of_{name}"], [name], axis=1))
            values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", DIMENSIONS]))
        else:
            nodes.append(helper.make_node("Identity", ["vectors"], [name]))
            values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "t", DIMENSIONS]))
    graph = helper.make_graph(
        nodes,
        "encoder",
        # The axes of the two inputs have different names, as in a published MiniLM.
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", f"{name}_length"]) for name in inputs],
        values,
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def write_encoder(folder: Path, network: bytes | None = None, **config: Any) -> Path:
    """Write an encoder as a folder of Hugging Face; without `config` there is no config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NETWORK).write_bytes(network or encoder_file())
    (folder / TOKENIZER).write_bytes(tokenizer_file(WORDS))
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    return folder
