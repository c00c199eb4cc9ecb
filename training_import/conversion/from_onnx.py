"""Convert an ONNX file with a description of its tokenizer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from classifier.artifact import Calibration
from classifier.pipeline import to_probabilities
from classifier.runtimes.network import NETWORK, import_onnxruntime
from classifier.runtimes.onnx import OnnxRuntime, OnnxSettings
from classifier.runtimes.transformer import TOKENIZER
from classifier.text import TextSettings, Tokenizer
from classifier.validation import first_error
from training_import.conversion.converted import Converted, ImportOptions, UnsupportedModel
from training_import.conversion.labels import class_labels
from training_import.conversion.network_files import check_operators, external_tensors, read_network
from training_import.conversion.subwords import refuse_pieces
from training_import.versions import library_versions

TOLERANCE = 1e-5
"""How much a probability may depend on the other texts of the batch."""

SUM_TOLERANCE = 1e-3
"""How far from 1 the sum of the probabilities may be, in the single precision of the model."""


class TokenizerDescription(BaseModel):
    """The JSON file that belongs to an .onnx file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: TextSettings
    vocabulary: tuple[str | None, ...]
    """Word i has the id model.first_id + i; null means an id that no word has."""
    model: OnnxSettings
    labels: tuple[str, ...] = Field(min_length=2)
    threshold: float = Field(default=0.5, ge=0, le=1)


def convert_onnx(source: Path, options: ImportOptions) -> Converted:
    """Check the file and its description; raises UnsupportedModel, which names what is wrong."""
    parsed = read_network(source)
    check_operators(source, parsed)
    for tensor in external_tensors(parsed):
        raise UnsupportedModel(
            f"{source} has the weights {tensor.name!r} in another file; save it with all data in one file"
        )
    network = source.read_bytes()
    description = _read_description(source, options.tokenizer)
    labels = class_labels(options, (), np.array(description.labels))
    tokenizer = Tokenizer(description.text, description.vocabulary)
    runtime = OnnxRuntime(network, description.model, tokenizer, len(labels.names))

    def original(texts: Sequence[str]) -> NDArray[np.float64]:
        try:
            scores = np.concatenate([runtime.score(tokenizer.encode([text])).scores for text in texts])
            runtime.score(tokenizer.encode(texts))
        except Exception as error:  # onnxruntime has a class for each kind of fault
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
        has_original=False,
        versions=library_versions({"onnxruntime": import_onnxruntime()}),
    )


def _read_description(source: Path, path: Path | None) -> TokenizerDescription:
    if path is None:
        folders = (source.parent, source.parent.parent)
        folder = next((each for each in folders if (each / TOKENIZER).exists()), None)
        if folder is not None:
            raise UnsupportedModel(
                f"{source} is part of a folder of Hugging Face, which has its tokenizer; import {folder}"
            )
        raise UnsupportedModel(
            f"{source} is an ONNX file without its tokenizer; give a JSON description of it with --tokenizer"
        )
    try:
        description = TokenizerDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UnsupportedModel(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise UnsupportedModel(f"{path} does not describe a tokenizer: {first_error(error)}") from error
    if not any(description.vocabulary):
        raise UnsupportedModel(f"{path}: vocabulary holds no word")
    refuse_pieces(f"the vocabulary of {path}", description.vocabulary)
    try:
        OnnxRuntime.check(description.model, description.labels, description.text)
    except ValueError as error:
        raise UnsupportedModel(f"{path}: {error}") from error
    return description


def _check_sums(
    source: Path, settings: OnnxSettings, sums: NDArray[np.float64], texts: Sequence[str]
) -> None:
    """Raise UnsupportedModel if outputs that should be probabilities are not.

    A negative output counts as 0 here, so a sum of 1 proves that all of them are right.
    """
    worst = int(np.abs(sums - 1).argmax())
    if not abs(sums[worst] - 1) <= SUM_TOLERANCE:
        raise UnsupportedModel(
            f"{source}: model.output is {settings.output!r}, and for the text {texts[worst][:300]!r} the "
            f"probabilities sum to {sums[worst]:.6f}; for scores before a softmax, it must be 'logits'"
        )
