"""The options that a converter of a foreign model receives, and the parts that it returns."""

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


Thresholds = tuple[float, ...] | Mapping[str, float]
"""The thresholds of several labels, in the order of the labels or by their names."""

LabelSets = Sequence[str | tuple[str, ...]]
"""The label of each of n texts, or all labels of each."""


@dataclass(frozen=True)
class ImportOptions:
    """Facts about the model that the user must give because its file does not contain them."""

    name: str
    """The name of the artifact."""
    labels: tuple[str, ...] | None = None
    """The labels in the order of the model's classes. If they are None, `labels.class_labels` finds them."""
    thresholds: tuple[float, ...] | None = None
    """The probability from which on a text has each label, if it can have several."""
    word_index: Path | None = None
    """A JSON file that belongs to a .keras file: {word: id}, the output of a Keras Tokenizer's `to_json()`,
    or an object with `word_index` and, if they differ from Keras's defaults, `num_words`, `oov_token`,
    `filters`, `lower` and `split`."""
    vectorizer: Path | None = None
    """The pickle or skops file of the vectorizer, or of the Keras Tokenizer, if the model's file has none."""
    tokenizer: Path | None = None
    """A JSON file that belongs to an .onnx file, as `from_onnx.TokenizerDescription` defines it."""
    expected: Path | None = None
    """A file of texts with the original's probabilities, as `expected.read_expected` reads it."""
    quantize: Literal["int8"] | None = None
    """The type that the weights of a transformer are stored in."""
    min_agreement: float = 0.99
    """Smallest share of the compared texts that must keep their label if the weights are stored in int8."""
    trust_pickle: bool = False
    max_tokens: int | None = None
    """The number of ids that the texts of a Keras model were padded to, if the model does not say. The number
    of tokens that a transformer reads, special tokens included."""
    padding: Literal["pre", "post"] = "pre"
    truncating: Literal["pre", "post"] = "pre"
    """The options of Keras's `pad_sequences`, with the same defaults."""
    strip_html: bool = False
    remove_special_chars: bool = False
    stopwords: tuple[str, ...] = ()
    """The last three options say how each text was cleaned before the original's own tokenizer read it."""

    @property
    def cleans(self) -> bool:
        """Whether texts were cleaned before the original's own tokenizer read them."""
        return self.strip_html or self.remove_special_chars or bool(self.stopwords)


@dataclass(frozen=True)
class ClassNames:
    """What one key of a package says: the name of each class."""

    key: str
    by_class: Mapping[int | str, str]
    """The names by their classes; a class that is a number is an int here."""
    is_list: bool
    """Whether the names came as a list, which names the classes of the model in their order."""


@dataclass(frozen=True)
class ClassLabels:
    """The labels of n classes, in the order of the model's classes."""

    names: tuple[str, ...]
    own: tuple[str, ...]
    """What the model itself calls the classes, in the same order."""
    source: str
    """Says who named them."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quantized:
    """Weights that are stored in a smaller type, so answers differ from the original's."""

    dtype: str
    bytes_before: int
    """The size of the network as it would be with its own weights."""
    bytes_after: int
    min_agreement: float
    """Smallest share of the compared texts that must keep their label."""


Original = Callable[[Sequence[str]], NDArray[np.float64]]
"""The foreign model with its own tokenizer: turns n texts into probabilities (n, classes)."""


@dataclass(frozen=True)
class Converted:
    """The parts of an artifact that a converter returns, with the original model to compare it with."""

    labels: ClassLabels
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
    has_original: bool = True
    """Whether `original` is the foreign model. If not, it is the imported one, which scores text by text."""
    calibration: Calibration | None = field(default_factory=Calibration)
    """None if the original has no probabilities. Then `original` returns its scores instead, and the import
    must calibrate them."""
    has_several_labels: bool = False
    """Whether a text can have several labels."""
    threshold: float | None = None
    thresholds: Thresholds | None = None
    """Those of several labels; if the package has none, `threshold` is that of all labels."""
    notes: tuple[str, ...] = ()
    """What a person should know or check; for the screen and the model card."""
    unused: tuple[str, ...] = ()
    """The keys of the package that were not used."""
    files: tuple[Path, ...] = ()
    """The files that a model in a folder was read from."""
    max_compared: int | None = None
    """Most real texts that are compared, because the model is slow; None compares all of them."""
    quantization: Quantized | None = None
    """What storing the weights in a smaller type changed; None if they are stored as they are."""


@dataclass(frozen=True)
class Package:
    """The content of a pickle or a skops file. A package of the earlier service has more than a model."""

    model: Any
    tokenizer: Any = None
    threshold: float | None = None
    thresholds: Thresholds | None = None
    max_tokens: int | None = None
    class_names: tuple[ClassNames, ...] = ()
    sklearn_versions: tuple[str, ...] = ()
    """The other versions of scikit-learn that saved parts of it."""
    unused: tuple[str, ...] = ()
    """The keys that were not used."""
    notes: tuple[str, ...] = ()


def cleaning_before(
    options: ImportOptions, settings: TextSettings, separator: str = " "
) -> Callable[[str], str]:
    """Return a function that cleans a text as it was cleaned before the original's own tokenizer read it.

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
    """Say what `cleaning_before` does."""
    if not options.cleans:
        return (
            "Nothing was done to a text before the original's own tokenizer. If texts were cleaned before "
            "training, import the model again with --strip-html, --remove-special-chars or "
            "--remove-stopwords: the file does not say it."
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
