"""What every converter of a foreign model receives and returns."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Calibration
from classifier.errors import ClassifierError
from classifier.runtimes import RuntimeSettings
from classifier.text import TextSettings, clean


class UnsupportedModel(ClassifierError):
    """The model cannot be imported exactly; the message names the file or step and what is supported."""


@dataclass(frozen=True)
class ImportOptions:
    """What the user says about the model because its file does not."""

    name: str
    """The name of the artifact."""
    labels: tuple[str, ...] | None = None
    """The labels in the order of the model's classes. If they are None, the model's own labels are used, or
    negative and positive if it has none and there are two classes."""
    word_index: Path | None = None
    """A JSON file that belongs to a .keras file: {word: id}, the output of a Keras Tokenizer's `to_json()`,
    or an object with `word_index` and, if they differ from Keras's defaults, `num_words`, `oov_token`,
    `filters`, `lower` and `split`."""
    tokenizer: Path | None = None
    """A JSON file that belongs to an .onnx file, as `from_onnx.TokenizerDescription` defines it."""
    trust_pickle: bool = False
    max_tokens: int | None = None
    """The number of ids that the texts of a Keras model were padded to, if the model does not say."""
    padding: Literal["pre", "post"] = "pre"
    truncating: Literal["pre", "post"] = "pre"
    """The options of Keras's `pad_sequences`, with the same defaults."""
    strip_html: bool = False
    remove_special_chars: bool = False
    stopwords: tuple[str, ...] = ()
    """These last three say what was done to each text before the original's own tokenizer."""

    @property
    def cleans(self) -> bool:
        """Whether anything was done to the texts before the original's own tokenizer."""
        return self.strip_html or self.remove_special_chars or bool(self.stopwords)


Original = Callable[[Sequence[str]], NDArray[np.float64]]
"""The foreign model with its own tokenizer: turns n texts into probabilities (n, classes)."""


@dataclass(frozen=True)
class Converted:
    """The parts of an artifact that a converter returns, with the original model to compare it with."""

    labels: tuple[str, ...]
    text: TextSettings
    model: RuntimeSettings
    vocabulary: tuple[str | None, ...]
    weights: Mapping[str, bytes]
    """The content of each weight file, by its name."""
    original: Original
    tolerance: float
    """How far a probability may be from the original's."""
    words: Sequence[str | None]
    """The words or n-grams that texts for the comparison are made of."""
    description: str
    """One line for the model card that says what the original is."""
    versions: Mapping[str, str]
    """The versions of the libraries that the original was run with."""
    compared_with: str = "the original"
    """How messages call `original`."""
    calibration: Calibration = field(default_factory=Calibration)
    threshold: float | None = None
    notes: tuple[str, ...] = ()
    """What a person should know or check; for the model card."""


@dataclass(frozen=True)
class Package:
    """The content of a pickle or a skops file. A package of the earlier service has more than a model."""

    model: Any
    tokenizer: Any = None
    threshold: float | None = None
    max_tokens: int | None = None
    notes: tuple[str, ...] = ()


def class_labels(options: ImportOptions, classes: int, own: Sequence[str] | None) -> tuple[str, ...]:
    """Return the labels of the options, or else the model's own, or else negative and positive.

    Raises UnsupportedModel if they do not fit the number of the model's classes.
    """
    labels = options.labels or own or (("negative", "positive") if classes == 2 else None)
    if labels is None:
        raise UnsupportedModel(f"the model has {classes} classes and does not name them; give --labels")
    if len(labels) != classes or len(set(labels)) != classes:
        raise UnsupportedModel(
            f"the labels are {', '.join(labels)}; the model has {classes} classes, and each needs a "
            "different name"
        )
    if classes < 2:
        raise UnsupportedModel(f"the model has {classes} class; a classifier needs at least 2")
    return tuple(labels)


def cleaning_before(
    options: ImportOptions, settings: TextSettings, separator: str = " "
) -> Callable[[str], str]:
    """Return a function that does to a text what was done before the original's own tokenizer.

    `settings` are those of the imported model. They may also lower the case and strip accents, which the
    original does itself: doing either twice changes nothing.
    """
    if not options.cleans:
        return lambda text: text
    find_all = re.compile(settings.token_pattern).findall
    stopwords = frozenset(options.stopwords)

    def cleaned(text: str) -> str:
        text = clean(text, settings)
        if not stopwords:
            return text
        return separator.join(token for token in find_all(text) if token not in stopwords)

    return cleaned


def cleaning_note(options: ImportOptions) -> str:
    """Say what `cleaning_before` does; for the model card."""
    if not options.cleans:
        return (
            "Nothing was done to a text before the original's own tokenizer. If texts were cleaned before "
            "training, import the model again with options that say how: the file does not say it."
        )
    steps = [
        *(["HTML tags were dropped"] if options.strip_html else []),
        *(
            ["URLs, e-mail addresses and all but letters were dropped"]
            if options.remove_special_chars
            else []
        ),
        *([f"{len(options.stopwords)} stop words were dropped"] if options.stopwords else []),
    ]
    return f"Before the original's own tokenizer, as the options of the import say: {'; '.join(steps)}."
