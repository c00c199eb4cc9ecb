"""A frozen sentence encoder, and the layers that make a classifier of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.runtimes.transformer import TransformerSettings
from classifier.text import TextSettings
from training_import.onnx_graph import names_read

EMBEDDING = "embedding"
LOGITS = "logits"
"""The output of the network that embeds, and that of the network that classifies."""

_PREFIX = "text_classifier"


@dataclass(frozen=True)
class SentenceEncoder:
    """A network that turns a text into an embedding, a vector of unit length, with its tokenizer."""

    name: str
    sha256: str
    """The SHA-256 of the network with all of its weights, followed by the tokenizer."""
    network: bytes
    """An ONNX model with the one output `EMBEDDING` (texts, dimensions)."""
    tokenizer: bytes
    """The content of `tokenizer.json`."""
    settings: TransformerSettings
    dimensions: int
    max_tokens: int
    """How many tokens of a text are read, without special tokens."""
    words: Sequence[str]
    """Words of its vocabulary, which golden cases are made of."""
    notes: tuple[str, ...] = ()
    """What was decided about it, one sentence each."""

    @property
    def text_settings(self) -> TextSettings:
        """The settings for its texts, which are not cleaned: it was trained on texts as they are."""
        return TextSettings(normalize=None, strip_html=False, lowercase=False, max_tokens=self.max_tokens)


def embedding_network(model: Any, output: str, is_pooled: bool) -> bytes:
    """Return the network that turns tokens into embeddings of unit length.

    `model` is an `onnx.ModelProto`, which is changed. Its output is the vector of each text (n, dimensions)
    if it is pooled, or else that of each token (n, tokens, dimensions). The embedding of a text is then the
    mean over the tokens of its attention mask, as in Reimers and Gurevych (EMNLP 2019).
    """
    from onnx import TensorProto, helper

    network = _Extended(model, output)
    vectors = network.add("Cast", [output], to=TensorProto.FLOAT)
    if not is_pooled:
        mask = network.add("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        shares = network.add("LpNormalization", [mask], axis=-1, p=1)
        row = network.add("Reshape", [shares, network.constant(np.array([0, 1, -1]))])
        vectors = network.add("MatMul", [row, vectors])
        vectors = network.add("Reshape", [vectors, network.constant(np.array([0, -1]))])
    network.add("LpNormalization", [vectors], EMBEDDING, axis=-1, p=2)
    return network.finished(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["texts", None]))


def classifying_network(embedding: bytes, weights: NDArray[np.float64], bias: NDArray[np.float64]) -> bytes:
    """Return the network whose logits are `embeddings @ weights + bias`.

    `embedding` is what `embedding_network` returns, `weights` is (dimensions, classes), `bias` (classes).
    """
    import onnx
    from onnx import TensorProto, helper

    network = _Extended(onnx.load_model_from_string(embedding), EMBEDDING)
    head = [network.constant(values.astype(np.float32)) for values in (weights, bias)]
    network.add("Gemm", [EMBEDDING, *head], LOGITS)
    return network.finished(helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["texts", len(bias)]))


class _Extended:
    """An ONNX model that gets more operators after one of its values."""

    def __init__(self, model: Any, value: str) -> None:
        """Drop what the value does not need."""
        graph = model.graph
        needed, nodes = {value}, []
        for node in reversed(graph.node):
            if needed.intersection(node.output):
                needed.update(names_read(node))
                nodes.append(node)
        kept = [each for each in graph.initializer if each.name in needed]
        nodes.reverse()
        for name, values in (("node", nodes), ("initializer", kept), ("output", []), ("value_info", [])):
            copies = [type(each).FromString(each.SerializeToString()) for each in values]
            graph.ClearField(name)
            getattr(graph, name).extend(copies)
        self._model = model
        self._used = needed.union(*(node.output for node in nodes))

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        name = self._new_name()
        self._model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str | None = None, **attributes: int) -> str:
        """Add an operator and return the name of its output."""
        from onnx import helper

        name = output or self._new_name()
        self._model.graph.node.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def finished(self, output: Any) -> bytes:
        """Return the model with this output."""
        self._model.graph.output.append(output)
        content: bytes = self._model.SerializeToString(deterministic=True)
        return content

    def _new_name(self) -> str:
        number = len(self._used)
        while f"{_PREFIX}_{number}" in self._used:
            number += 1
        self._used.add(f"{_PREFIX}_{number}")
        return f"{_PREFIX}_{number}"
