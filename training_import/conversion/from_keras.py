"""Convert a Keras model with its Tokenizer to an ONNX network with its vocabulary."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from classifier.artifact import Calibration
from classifier.pipeline import to_probabilities
from classifier.runtimes.network import NETWORK
from classifier.runtimes.onnx import OnnxSettings
from classifier.text import TextSettings
from classifier.validation import first_error
from training_import.conversion import text_vectorization
from training_import.conversion.converted import (
    Converted,
    ImportOptions,
    Package,
    UnsupportedModel,
    cleaning_before,
    cleaning_note,
)
from training_import.conversion.labels import class_labels
from training_import.conversion.subwords import refuse_pieces
from training_import.keras_export import export_onnx
from training_import.tensorflow_logs import silence_tensorflow
from training_import.versions import library_versions

TOLERANCE = 1e-4
HDF5 = b"\x89HDF"
"""How an HDF5 file begins."""
CODE_LAYERS = frozenset({"Lambda", "TFOpLambda", "__lambda__", "function"})
"""The parts of a model's description that Python code belongs to."""
PAD_ID = 0
"""The id that `pad_sequences` pads with."""

SUPPORTED = (
    "a Keras model with one input of padded ids, an Embedding, and one output that is Dense(1) with "
    "sigmoid, or one unit for each class with softmax or no activation; and "
    "keras.preprocessing.text.Tokenizer of words, or a TextVectorization layer instead"
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
    """Load a .keras or .h5 file in safe mode, which runs no code from the file."""
    silence_tensorflow()
    import keras

    with source.open("rb") as file:
        is_hdf5 = file.read(len(HDF5)) == HDF5
    if is_hdf5:
        check_hdf5(source)
    ending = ".h5" if is_hdf5 else ".keras"
    with tempfile.TemporaryDirectory() as folder:
        path = source
        if source.suffix != ending:  # Keras looks only at the ending
            path = Path(folder) / f"model{ending}"
            shutil.copyfile(source, path)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # a layer can raise anything
            why = str(error).strip()[:500]
            if is_hdf5:
                raise UnsupportedModel(
                    f"{source} cannot be loaded by Keras {keras.__version__}: {why}. Load it with the "
                    "version of Keras that made it and save it as .keras: "
                    f"`keras.models.load_model({source.name!r}).save({source.stem + '.keras'!r})`"
                ) from error
            raise UnsupportedModel(
                f"{source} cannot be loaded by Keras {keras.__version__} in safe mode, which refuses code in "
                f"the file such as a Lambda layer or a custom class: {why}"
            ) from error


def check_hdf5(source: Path) -> None:
    """Raise UnsupportedModel for an HDF5 file that has only weights, or code in the place of a layer."""
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(source) as file:
            config = file.attrs.get("model_config")
    except OSError as error:
        raise UnsupportedModel(f"{source} is not a readable HDF5 file: {error}") from error
    if config is None:
        raise UnsupportedModel(
            f"{source} has only the weights of a model; save the whole model with `model.save('model.keras')`"
        )
    # Keras has run the code of a Lambda layer in such a file in spite of its safe mode (CVE-2025-9905).
    try:
        codes = sorted(CODE_LAYERS.intersection(_class_names(json.loads(config))))
    except (ValueError, TypeError, RecursionError) as error:
        raise UnsupportedModel(f"{source} describes its model in a way that is not JSON: {error}") from error
    if codes:
        raise UnsupportedModel(
            f"{source} has a layer with code of its own, {codes[0]}; it cannot be imported"
        )


def _class_names(config: Any) -> Iterator[str]:
    """Yield the names of all classes in a part of a description, without the packages before them."""
    if isinstance(config, dict):
        name = config.get("class_name")
        if isinstance(name, str):
            yield re.split(r"[.>]", name)[-1]
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _class_names(part)


def read_word_index(source: Path, path: Path | None, model: Any) -> Any:
    """Read a word index, and return it as the Tokenizer that it came from.

    If it does not give `num_words`, the size of the model's Embedding is used.
    """
    if path is None:
        raise UnsupportedModel(
            f"{source} is a Keras model without its words; give its word index, a JSON file with "
            "{word: id}, with --word-index, or its Tokenizer in a pickle with --vectorizer and --trust-pickle"
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
    """Return the fields of `WordIndex` from any of three forms: {word: id}, ours, or Keras's own."""
    if isinstance(content, dict) and isinstance(config := content.get("config"), dict):
        fields = {name: config[name] for name in WordIndex.model_fields if name in config}
        if isinstance(fields.get("word_index"), str):
            fields["word_index"] = json.loads(fields["word_index"])
        return fields
    if isinstance(content, dict) and not isinstance(content.get("word_index"), dict):
        return {"word_index": content}
    return content


@dataclass(frozen=True)
class _Reading:
    """How texts become the ids that a network reads."""

    network: Any
    """The part of the model that reads ids."""
    text: TextSettings
    vocabulary: tuple[str | None, ...]
    ids: OnnxSettings
    outputs: Callable[[Sequence[str]], NDArray[np.float64]]
    """The whole model with its own way of reading texts: turns n texts into its outputs (n, units)."""
    note: str


def convert_keras(package: Package, options: ImportOptions) -> Converted:
    """Convert a model and its Tokenizer; raises UnsupportedModel, which names what cannot be converted."""
    import keras
    import tensorflow
    import tf2onnx

    model = package.model
    layer = text_vectorization.vectorization_layer(model)
    text = None if layer is None else text_vectorization.text_settings(layer, options)
    output, classes = _output(model)
    if text is None:
        reading = _with_tokenizer(package, options, output)
    else:
        reading = _with_layer(package, layer, text, options, output)

    def original(texts: Sequence[str]) -> NDArray[np.float64]:
        return _probabilities(reading.outputs(texts), output)

    return Converted(
        labels=class_labels(options, package.class_names, classes),
        text=reading.text,
        model=reading.ids,
        vocabulary=reading.vocabulary,
        weights={NETWORK: _network(reading.network, reading.text.max_tokens)},
        threshold=package.threshold,
        original=original,
        tolerance=TOLERANCE,
        words=reading.vocabulary,
        description=f"Keras {type(model).__name__} of "
        + ", ".join(type(layer).__name__ for layer in model.layers),
        versions=library_versions({"keras": keras, "tensorflow": tensorflow, "tf2onnx": tf2onnx}),
        notes=(*package.notes, cleaning_note(options), reading.note),
    )


def _with_tokenizer(package: Package, options: ImportOptions, output: Output) -> _Reading:
    import keras

    model, tokenizer = package.model, package.tokenizer
    _check_tokenizer(tokenizer)
    size = _embedding_size(model)
    length = _length(model, package, options)
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

    def outputs(texts: Sequence[str]) -> NDArray[np.float64]:
        ids = tokenizer.texts_to_sequences([cleaned(text) for text in texts])
        padded = keras.utils.pad_sequences(
            ids, length, padding=options.padding, truncating=options.truncating, value=PAD_ID
        )
        return np.asarray(model.predict(padded, batch_size=256, verbose=0), np.float64)

    return _Reading(
        network=model,
        text=text,
        vocabulary=vocabulary,
        ids=OnnxSettings(
            first_id=first_id,
            unknown_id=unknown_id,
            pad_id=PAD_ID,
            pad_side="left" if options.padding == "pre" else "right",
            pad_to=length,
            output=output,
        ),
        outputs=outputs,
        note=f"Texts are padded ({options.padding}) and cut ({options.truncating}) to {length} ids. The "
        "file does not say how this was done in training; Keras's own default is pre for both.",
    )


def _with_layer(
    package: Package, layer: Any, text: TextSettings, options: ImportOptions, output: Output
) -> _Reading:
    if package.tokenizer is not None:
        raise UnsupportedModel(f"the layer {layer.name!r} splits texts itself, so a tokenizer has no effect")
    if (options.padding, options.truncating) != ("pre", "pre"):
        raise UnsupportedModel(f"the layer {layer.name!r} pads texts itself, so padding has no effect")
    return _Reading(
        network=text_vectorization.without_vectorization(package.model, layer),
        text=text,
        vocabulary=text_vectorization.vocabulary_of(layer),
        ids=OnnxSettings(
            first_id=text_vectorization.FIRST_ID,
            unknown_id=text_vectorization.UNKNOWN_ID,
            pad_id=PAD_ID,
            pad_side="right",
            pad_to=text.max_tokens,
            output=output,
        ),
        outputs=text_vectorization.original_outputs(package.model, cleaning_before(options, text)),
        note=f"The layer {layer.name!r} of the model splits texts; this service does the same.",
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
    refuse_pieces("the word index", list(words.values()))
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
