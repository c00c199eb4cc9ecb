"""What every converter of a foreign model gets and gives."""

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
    """What the source does not say of itself."""

    name: str
    """The artifact's."""
    labels: tuple[str, ...] | None = None
    """In the order of the model's classes; None: the model's own, else negative and positive for two."""
    word_index: Path | None = None
    """JSON beside a .keras file: {word: id}, a Keras Tokenizer's `to_json()`, or an object with `word_index`
    and, where they differ from Keras's defaults, `num_words`, `oov_token`, `filters`, `lower` and `split`."""
    tokenizer: Path | None = None
    """JSON beside an .onnx file: `training_import.import_onnx.TokenizerDescription`."""
    trust_pickle: bool = False
    max_tokens: int | None = None
    """To how many ids a Keras model's texts were padded, where the model does not say."""
    padding: Literal["pre", "post"] = "pre"
    truncating: Literal["pre", "post"] = "pre"
    """As in Keras's `pad_sequences`, whose defaults these are."""
    strip_html: bool = False
    remove_special_chars: bool = False
    stopwords: tuple[str, ...] = ()
    """These three: what was done to each text before it came to the original's own tokenizer."""

    @property
    def cleans(self) -> bool:
        """Whether anything was done before the original's own tokenizer."""
        return self.strip_html or self.remove_special_chars or bool(self.stopwords)


Original = Callable[[Sequence[str]], NDArray[np.float64]]
"""The foreign model with its own tokenizer: n texts to probabilities (n, classes)."""


@dataclass(frozen=True)
class Converted:
    """What a converter gives: the parts of an artifact, and the original to compare it with."""

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
    """What texts are made of: the vocabulary, or n-grams of it."""
    description: str
    """One line for the model card: what it was."""
    versions: Mapping[str, str]
    """Of the libraries that the original was run with."""
    compared_with: str = "the original"
    """What `original` is, as a message names it."""
    calibration: Calibration = field(default_factory=Calibration)
    threshold: float | None = None
    notes: tuple[str, ...] = ()
    """For the model card: what a person should know or check."""


@dataclass(frozen=True)
class Package:
    """What came out of a pickle or a skops file: a model, and in the earlier service's package more."""

    model: Any
    tokenizer: Any = None
    threshold: float | None = None
    max_tokens: int | None = None
    notes: tuple[str, ...] = ()


def class_labels(options: ImportOptions, classes: int, own: Sequence[str] | None) -> tuple[str, ...]:
    """The labels of the options, else the model's own, else negative and positive.

    Raises UnsupportedModel where they do not fit the model's number of classes.
    """
    labels = options.labels or own or (("negative", "positive") if classes == 2 else None)
    if labels is None:
        raise UnsupportedModel(f"the model has {classes} classes and does not name them; give --labels")
    if len(labels) != classes or len(set(labels)) != classes:
        raise UnsupportedModel(
            f"the labels are {', '.join(labels)}; the model has {classes} classes, and each needs a "
            "name of its own"
        )
    if classes < 2:
        raise UnsupportedModel(f"the model has {classes} class; a classifier needs at least 2")
    return tuple(labels)


def cleaning_before(
    options: ImportOptions, settings: TextSettings, separator: str = " "
) -> Callable[[str], str]:
    """What was done to a text before the original's own tokenizer.

    `settings` are the imported model's. To lower the case and strip accents here as well as in the original
    changes nothing: both give the same a second time.
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
    """For the model card: what `cleaning_before` does."""
    if not options.cleans:
        return (
            "Nothing was done to a text before the original's own tokenizer. If its training cleaned texts "
            "first, import it again and say how: the file does not tell."
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
    return f"Before the original's own tokenizer, as its importer said: {'; '.join(steps)}."
