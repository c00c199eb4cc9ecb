"""An ONNX file with a description of its tokenizer, as an artifact."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from classifier.artifact import Calibration
from classifier.pipeline import to_probabilities
from classifier.runtimes.onnx import NETWORK, OnnxRuntime, OnnxSettings, import_onnxruntime
from classifier.text import TextSettings, Tokenizer
from classifier.validation import first_error
from training_import.conversion.converted import Converted, ImportOptions, UnsupportedModel, class_labels
from training_import.onnx_graph import all_graphs, constants
from training_import.versions import library_versions

TOLERANCE = 1e-5
"""How far an answer may depend on the other texts of its batch."""

SUM_TOLERANCE = 1e-3
"""How far from 1 probabilities may sum up, in the model's single precision."""

DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Whose operators ONNX Runtime brings along."""


class TokenizerDescription(BaseModel):
    """The JSON beside an .onnx file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: TextSettings
    vocabulary: tuple[str | None, ...]
    """Word i has the id model.first_id + i; null where no word has the id."""
    model: OnnxSettings
    labels: tuple[str, ...] = Field(min_length=2)
    threshold: float = Field(default=0.5, ge=0, le=1)


def convert_onnx(source: Path, options: ImportOptions) -> Converted:
    """Check the file and its description; raises UnsupportedModel, which names what is wrong."""
    network = source.read_bytes()
    _check_network(source, network)
    description = _read_description(source, options.tokenizer)
    labels = class_labels(options, len(description.labels), description.labels)
    tokenizer = Tokenizer(description.text, description.vocabulary)
    runtime = OnnxRuntime(network, description.model, tokenizer, len(labels))

    def original(texts: Sequence[str]) -> NDArray[np.float64]:
        try:
            scores = np.concatenate([runtime.score(tokenizer.encode([text])) for text in texts])
            runtime.score(tokenizer.encode(texts))
        except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
            raise UnsupportedModel(
                f"{source} cannot score a batch of texts as its description says: {error}"
            ) from error
        if description.model.output != "logits":
            _check_sums(source, description.model, np.exp(scores).sum(axis=1), texts)
        return to_probabilities(scores, Calibration())

    return Converted(
        labels=labels,
        text=description.text,
        model=description.model,
        vocabulary=description.vocabulary,
        weights={NETWORK: network},
        threshold=description.threshold,
        original=original,
        tolerance=TOLERANCE,
        words=description.vocabulary,
        description="an ONNX network with a description of its tokenizer",
        compared_with="its own answers to single texts",
        versions=library_versions({"onnxruntime": import_onnxruntime()}),
        notes=("No original came with it: that its description is right was not checked.",),
    )


def _read_description(source: Path, path: Path | None) -> TokenizerDescription:
    if path is None:
        raise UnsupportedModel(
            f"{source} is an ONNX file; a JSON description of its tokenizer must be given with it"
        )
    try:
        description = TokenizerDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UnsupportedModel(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise UnsupportedModel(f"{path} does not describe a tokenizer: {first_error(error)}") from error
    width, text = description.model.pad_to, description.text
    if not any(description.vocabulary):
        raise UnsupportedModel(f"{path}: vocabulary holds no word")
    if text.max_tokens < 1 or (width is not None and width < text.max_tokens):
        raise UnsupportedModel(
            f"{path}: text.max_tokens is {text.max_tokens}; it must be from 1 to model.pad_to, which is "
            f"{width}"
        )
    if (description.model.unknown_id is None) != (text.unknown == "drop"):
        raise UnsupportedModel(
            f"{path}: text.unknown is {text.unknown!r} and model.unknown_id is "
            f"{description.model.unknown_id}; unknown "
            "words are either kept, with an id, or dropped, without one"
        )
    if description.model.output == "sigmoid" and len(description.labels) != 2:
        raise UnsupportedModel(
            f"{path}: model.output is 'sigmoid', which is for two labels; there are {len(description.labels)}"
        )
    return description


def _check_network(source: Path, network: bytes) -> None:
    """Refuse what is not in the file itself, or is not ONNX's own."""
    import onnx

    try:
        model = onnx.load_model_from_string(network)
    except Exception as error:  # protobuf's own class, which is no public name
        raise UnsupportedModel(f"{source} is not an ONNX file: {error}") from error
    if not model.graph.node:
        raise UnsupportedModel(f"{source} is not an ONNX file: it has no operators")
    local = {function.domain for function in model.functions}
    graphs = [graph for part in (model.graph, *model.functions) for graph in all_graphs(part)]
    for node in (node for graph in graphs for node in graph.node):
        if node.domain not in DOMAINS | local:
            raise UnsupportedModel(
                f"{source} has the custom operator {node.domain}.{node.op_type} (node {node.name!r}); "
                "only ONNX's own operators are supported"
            )
    for tensor in (tensor for graph in graphs for tensor in constants(graph)):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise UnsupportedModel(
                f"{source} keeps the weights {tensor.name!r} in another file; save it with all data inside"
            )


def _check_sums(
    source: Path, settings: OnnxSettings, sums: NDArray[np.float64], texts: Sequence[str]
) -> None:
    """Refuse an output that is said to be probabilities and is not.

    A negative one counts as 0 here, so a sum of 1 proves all of them.
    """
    worst = int(np.abs(sums - 1).argmax())
    if not abs(sums[worst] - 1) <= SUM_TOLERANCE:
        raise UnsupportedModel(
            f"{source}: model.output is {settings.output!r}, and for the text {texts[worst][:300]!r} "
            "the probabilities "
            f"sum to {sums[worst]:.6f}; if these are scores before a softmax, it is 'logits'"
        )
