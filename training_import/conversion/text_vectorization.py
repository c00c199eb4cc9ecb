"""Read a Keras model that begins with a TextVectorization layer, which splits texts itself."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.text import TextSettings
from training_import.conversion.converted import ImportOptions, UnsupportedModel

SUPPORTED_LAYER = (
    "a TextVectorization layer of words or characters with output_mode='int', an output_sequence_length and "
    "no functions of its own, as the first layer after one input of texts"
)

UNKNOWN_ID = 1
FIRST_ID = 2
"""The layer gives 0 to padding and 1 to words that it does not know."""

_SPLITS: Mapping[str, str] = MappingProxyType({"whitespace": r"[^ \t\n\v\f\r]+", "character": r"[\s\S]"})
"""The token pattern of each way of splitting. TensorFlow knows only the white space of ASCII."""

_STANDARDIZATIONS: Mapping[str | None, Mapping[str, Any]] = MappingProxyType(
    {
        "lower_and_strip_punctuation": {"lowercase": "ascii", "remove_punctuation": True},
        "lower": {"lowercase": "ascii"},
        "strip_punctuation": {"lowercase": False, "remove_punctuation": True},
        None: {"lowercase": False},
    }
)


def vectorization_layer(model: Any) -> Any | None:
    """Return the TextVectorization layer of a model; None if it has none.

    Raises UnsupportedModel if it is not the first and only layer that reads texts.
    """
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.TextVectorization)]
    if not layers:
        return None
    inputs = model.inputs
    if len(layers) != 1 or len(inputs) != 1 or "string" not in str(inputs[0].dtype):
        types = [str(i.dtype) for i in inputs]
        raise refuse_layer(layers[0], f"the model has {len(layers)} such layers and inputs of {types}")
    return layers[0]


def without_vectorization(model: Any, layer: Any) -> Any:
    """Return the model behind the layer, whose input is ids."""
    import keras

    if isinstance(model, keras.Sequential):
        behind = model.layers[model.layers.index(layer) + 1 :]
        return keras.Sequential([keras.Input(layer.output.shape[1:], dtype="int64"), *behind])
    return keras.Model(layer.output, model.outputs)


def text_settings(layer: Any, options: ImportOptions) -> TextSettings:
    """Return how the layer reads a text; raises UnsupportedModel, which names an unknown setting."""
    config = layer.get_config()
    standardize, split = config["standardize"], config["split"]
    if not (standardize is None or isinstance(standardize, str)):
        raise refuse_layer(layer, "standardize is a function")
    if split not in _SPLITS:
        raise refuse_layer(layer, f"split is {split!r}" if split is None else "split is a function")
    for name, wanted in (("output_mode", "int"), ("ngrams", None), ("ragged", False)):
        if config[name] != wanted:
            raise refuse_layer(layer, f"{name} is {config[name]!r}")
    length = config["output_sequence_length"]
    if length is None:
        raise refuse_layer(layer, "output_sequence_length is None, so answers depend on the longest text")
    if options.max_tokens not in {None, length}:
        raise UnsupportedModel(f"max_tokens is {options.max_tokens}; the model reads {length} tokens")
    return TextSettings(
        normalize=None,
        strip_html=options.strip_html,
        remove_special_chars=options.remove_special_chars,
        token_pattern=_SPLITS[split],
        stopwords=tuple(sorted(options.stopwords)),
        unknown="keep",
        max_tokens=length,
        keep="first",
        **_STANDARDIZATIONS[standardize],
    )


def vocabulary_of(layer: Any) -> tuple[str, ...]:
    """Return the words of the layer, from the id `FIRST_ID` on."""
    return tuple(layer.get_vocabulary()[FIRST_ID:])


def original_outputs(
    model: Any, cleaned: Callable[[str], str]
) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """Return the model as a function of texts, which gives its outputs."""
    import tensorflow

    rank = len(model.inputs[0].shape)

    def outputs(texts: Sequence[str]) -> NDArray[np.float64]:
        batch = tensorflow.constant([cleaned(text) for text in texts])
        batch = batch if rank == 1 else tensorflow.expand_dims(batch, 1)
        return np.asarray(model.predict(batch, batch_size=256, verbose=0), np.float64)

    return outputs


def refuse_layer(layer: Any, why: str) -> UnsupportedModel:
    """Return the error for a layer that cannot be converted."""
    return UnsupportedModel(
        f"the layer {layer.name!r} is TextVectorization: {why}. Supported is {SUPPORTED_LAYER}"
    )
