"""Convert a Keras model with its Tokenizer to an ONNX network with its vocabulary."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from classifier.artifact import Calibration
from classifier.pipeline import to_probabilities
from classifier.runtimes.onnx import NETWORK, OnnxSettings
from classifier.text import TextSettings
from classifier.validation import first_error
from training_import.conversion.converted import (
    Converted,
    ImportOptions,
    Package,
    UnsupportedModel,
    class_labels,
    cleaning_before,
    cleaning_note,
)
from training_import.keras_export import export_onnx
from training_import.versions import library_versions

TOLERANCE = 1e-4
PAD_ID = 0
"""The id that `pad_sequences` pads with."""

SUPPORTED = (
    "a Keras model with one input of padded ids, an Embedding, and one output that is Dense(1) with "
    "sigmoid, or one unit for each class with softmax or no activation; and "
    "keras.preprocessing.text.Tokenizer of words"
)

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
"""The characters that Keras's Tokenizer drops by default."""

Output = Literal["logits", "probabilities", "sigmoid"]


class WordIndex(BaseModel):
    """The JSON file that belongs to a .keras file. The defaults are those of Keras's Tokenizer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    word_index: dict[str, int]
    num_words: int | None = None
    oov_token: str | None = None
    filters: str = FILTERS
    lower: bool = True
    split: str = " "
    char_level: bool = False


def load_keras(source: Path) -> Any:
    """Load a .keras file in safe mode, which runs no code from the file."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = source
        if source.suffix != ".keras":  # Keras looks only at the ending
            path = Path(folder) / "model.keras"
            shutil.copyfile(source, path)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # a layer can raise anything
            raise UnsupportedModel(
                f"{source} cannot be loaded by Keras {keras.__version__} in safe mode, which refuses code in "
                f"the file such as a Lambda layer or a custom class: {str(error).strip()[:500]}"
            ) from error


def read_word_index(source: Path, path: Path | None, model: Any) -> Any:
    """Read a word index, and return it as the Tokenizer that it came from.

    If it does not give `num_words`, the size of the model's Embedding is used.
    """
    if path is None:
        raise UnsupportedModel(
            f"{source} is a Keras model; its word index, a JSON file with {{word: id}}, must be given with it"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnsupportedModel(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UnsupportedModel(f"{path} is not JSON: {error}") from error
    try:
        index = WordIndex.model_validate(_word_index_fields(content))
    except ValidationError as error:
        raise UnsupportedModel(f"{path} is not a word index: {first_error(error)}") from error
    except ValueError as error:
        raise UnsupportedModel(f"{path} is not a word index: {error}") from error

    tokenizer = _tokenizer_class()(
        num_words=index.num_words or _embedding_size(model),
        filters=index.filters,
        lower=index.lower,
        split=index.split,
        char_level=index.char_level,
        oov_token=index.oov_token,
    )
    tokenizer.word_index = index.word_index
    return tokenizer


def _word_index_fields(content: Any) -> Any:
    """Return the fields of `WordIndex` from any form: flat, ours, or Keras's `Tokenizer.to_json()`."""
    if isinstance(content, dict) and isinstance(config := content.get("config"), dict):
        fields = {name: config[name] for name in WordIndex.model_fields if name in config}
        if isinstance(fields.get("word_index"), str):
            fields["word_index"] = json.loads(fields["word_index"])
        return fields
    if isinstance(content, dict) and not isinstance(content.get("word_index"), dict):
        return {"word_index": content}
    return content


def convert_keras(package: Package, options: ImportOptions) -> Converted:
    """Convert a model and its Tokenizer; raises UnsupportedModel, which names what cannot be converted."""
    import keras
    import tensorflow
    import tf2onnx

    model, tokenizer = package.model, package.tokenizer
    _check_tokenizer(tokenizer)
    size = _embedding_size(model)
    length = _length(model, package, options)
    output, classes = _output(model)
    labels = class_labels(options, classes, None)
    first_id, vocabulary = _vocabulary(tokenizer, size)
    unknown_id = _unknown_id(tokenizer, size)
    text = TextSettings(
        normalize=None,
        strip_html=options.strip_html,
        lowercase=bool(tokenizer.lower),
        remove_special_chars=options.remove_special_chars,
        token_pattern=f"[^{''.join(map(re.escape, sorted({*tokenizer.filters, tokenizer.split})))}]+",
        stopwords=tuple(sorted(options.stopwords)),
        unknown="drop" if unknown_id is None else "keep",
        max_tokens=length,
        keep="last" if options.truncating == "pre" else "first",
    )
    cleaned = cleaning_before(options, text, tokenizer.split)

    def original(texts: Sequence[str]) -> NDArray[np.float64]:
        ids = tokenizer.texts_to_sequences([cleaned(text) for text in texts])
        padded = keras.utils.pad_sequences(
            ids, length, padding=options.padding, truncating=options.truncating, value=PAD_ID
        )
        return _probabilities(
            np.asarray(model.predict(padded, batch_size=256, verbose=0), np.float64), output
        )

    return Converted(
        labels=labels,
        text=text,
        model=OnnxSettings(
            first_id=first_id,
            unknown_id=unknown_id,
            pad_id=PAD_ID,
            pad_side="left" if options.padding == "pre" else "right",
            pad_to=length,
            output=output,
        ),
        vocabulary=vocabulary,
        weights={NETWORK: _network(model, length)},
        threshold=package.threshold,
        original=original,
        tolerance=TOLERANCE,
        words=vocabulary,
        description=f"Keras {type(model).__name__} of "
        + ", ".join(type(layer).__name__ for layer in model.layers),
        versions=library_versions({"keras": keras, "tensorflow": tensorflow, "tf2onnx": tf2onnx}),
        notes=(
            *package.notes,
            cleaning_note(options),
            f"Texts are padded ({options.padding}) and cut ({options.truncating}) to {length} ids. The "
            "file does not say how this was done in training; Keras's own default is pre for both.",
        ),
    )


def _refuse(why: str) -> UnsupportedModel:
    return UnsupportedModel(f"{why}. Supported is {SUPPORTED}")


def _tokenizer_class() -> Any:
    from keras.src.legacy.preprocessing.text import Tokenizer

    return Tokenizer


def _check_tokenizer(tokenizer: Any) -> None:
    kind = type(tokenizer)
    if kind is not _tokenizer_class():
        raise _refuse(f"the package's tokenizer is {kind.__module__}.{kind.__qualname__}")
    if tokenizer.char_level:
        raise _refuse("the tokenizer has char_level=True: its tokens are characters")
    if getattr(tokenizer, "analyzer", None) is not None:
        raise _refuse(f"the tokenizer has its own analyzer, {tokenizer.analyzer!r}")
    if len(tokenizer.split) != 1:
        raise _refuse(f"the tokenizer has split={tokenizer.split!r}; it must be a single character")


def _vocabulary(tokenizer: Any, size: int) -> tuple[int, tuple[str | None, ...]]:
    """Return the first id, and the words from this id on; None for an id that no word has."""
    limit = tokenizer.num_words
    words: dict[int, str] = {}
    for word, id_ in tokenizer.word_index.items():
        if limit and id_ >= limit:
            continue
        if not 0 <= id_ < size:
            raise UnsupportedModel(
                f"the word {word!r} has the id {id_}; the Embedding takes ids from 0 to {size - 1}"
            )
        if id_ in words:
            raise UnsupportedModel(f"the words {words[id_]!r} and {word!r} have the same id, {id_}")
        words[id_] = word
    if not words:
        raise UnsupportedModel("the tokenizer knows no words; was it fitted?")
    first = min(1, *words)
    return first, tuple(words.get(id_) for id_ in range(first, max(words) + 1))


def _unknown_id(tokenizer: Any, size: int) -> int | None:
    """Return the id of a word outside the vocabulary; None if such words are dropped."""
    if tokenizer.oov_token is None:
        return None
    id_ = tokenizer.word_index.get(tokenizer.oov_token)
    if id_ is None or not 0 <= id_ < size:
        raise UnsupportedModel(
            f"the tokenizer's oov_token {tokenizer.oov_token!r} has the id {id_}; the Embedding takes "
            f"ids from 0 to {size - 1}"
        )
    return int(id_)


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _layers(layer)
        else:
            yield layer


def _embedding_size(model: Any) -> int:
    """Return how many ids the model knows."""
    import keras

    sizes = [layer.input_dim for layer in _layers(model) if isinstance(layer, keras.layers.Embedding)]
    if not sizes:
        raise _refuse("the model has no Embedding layer, so it does not read the ids of words")
    return int(min(sizes))


def _length(model: Any, package: Package, options: ImportOptions) -> int:
    """Return how many ids texts are padded to."""
    try:
        inputs = model.inputs
    except (AttributeError, ValueError) as error:
        raise _refuse(f"the model is a {type(model).__name__} whose inputs are not known: {error}") from error
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or "string" in str(inputs[0].dtype):
        raise _refuse(
            f"the model's inputs are {[(i.name, tuple(i.shape), str(i.dtype)) for i in inputs]}; it "
            "must have one of shape (texts, ids)"
        )
    own = inputs[0].shape[1]
    stated = package.max_tokens if options.max_tokens is None else options.max_tokens
    if own is None and stated is None:
        raise UnsupportedModel(
            "the model takes texts of any length, and nothing says how many ids they were padded to; "
            "give --max-tokens"
        )
    if own is not None and stated is not None and own != stated:
        raise UnsupportedModel(f"max_tokens is {stated}; the model takes only texts of {own} ids")
    length = int(own or stated or 0)
    if length < 1:
        raise UnsupportedModel(f"max_tokens is {length}; it must be at least 1")
    return length


def _output(model: Any) -> tuple[Output, int]:
    """Return the kind of the last layer's output, and the number of classes."""
    import keras

    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        raise _refuse(f"the model's outputs have the shapes {[tuple(o.shape) for o in model.outputs]}")
    units = model.outputs[0].shape[1]
    layer = model
    while hasattr(layer, "layers"):
        layer = layer.outputs[0]._keras_history.operation
    if isinstance(layer, keras.layers.Softmax):
        activation = "softmax"
    elif hasattr(layer, "activation"):
        activation = keras.activations.serialize(layer.activation)
    else:
        raise _refuse(f"the model's last layer, {layer.name!r}, is {type(layer).__name__}")
    if units == 1 and activation == "sigmoid":
        return "sigmoid", 2
    if units is not None and units > 1 and activation in {"softmax", "linear"}:
        return "probabilities" if activation == "softmax" else "logits", units
    raise _refuse(
        f"the model's last layer, {layer.name!r}, has {units} units with the activation {activation!r}"
    )


def _probabilities(output: NDArray[np.float64], kind: Output) -> NDArray[np.float64]:
    if kind == "sigmoid":
        return np.hstack([1 - output, output])
    if kind == "probabilities":
        return output
    return to_probabilities(output, Calibration())


def _network(model: Any, length: int) -> bytes:
    try:
        model.predict(
            np.zeros((1, length), np.int32), verbose=0
        )  # Keras exports only a model that was called
        return export_onnx(model)
    except Exception as error:  # the exporter can raise anything
        raise _refuse(
            f"Keras cannot export the model to ONNX: {type(error).__name__}: {str(error).strip()[:500]}"
        ) from error
