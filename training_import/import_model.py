"""A foreign model to an artifact that answers as the original does, which at least 200 texts prove."""

import contextlib
import hashlib
import importlib
import itertools
import math
import platform
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import FORMAT_VERSION, Artifact, Calibration, Manifest
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier
from classifier.runtime import LinearSettings, OnnxSettings
from classifier.text import TextSettings, clean
from training_import.samples import golden_cases, made_texts

FEWEST_CHECKED_TEXTS = 200
FEWEST_MADE_TEXTS = 50
"""Texts that are made even where the user gives enough: they hold what real texts seldom do."""

LONGEST_MADE_TEXT = 2000
SHOWN_CHARACTERS = 300

SUPPORTED_SOURCES = (
    "a Keras model (.keras) with a word index; the earlier service's package (joblib or pickle); a "
    "scikit-learn Pipeline (skops, joblib or pickle); an ONNX file with a tokenizer description"
)

SourceKind = Literal["keras", "skops", "pickle", "onnx"]

_COMPRESSED = (
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00\x00",
    b"\x04\x22\x4d\x18",
    b"x\x01",
    b"x\x5e",
    b"x\x9c",
    b"x\xda",
)
"""How a joblib file begins that is compressed: gzip, bz2, xz, lzma, lz4, zlib."""

_LEGACY_TOKENIZER = "keras.src.legacy.preprocessing.text"
_FORMER_TOKENIZERS = (
    "keras.preprocessing.text",
    "keras.src.preprocessing.text",
    "keras_preprocessing.text",
    "tensorflow.python.keras.preprocessing.text",
)
"""Modules that the Keras Tokenizer was in, by which an old pickle names it."""


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
    model: LinearSettings | OnnxSettings
    vocabulary: tuple[str | None, ...]
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
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    network: bytes = b""
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


def import_model(source: Path, options: ImportOptions, texts: Sequence[str] = ()) -> Artifact:
    """Convert a foreign model, compare it with the original and make an artifact.

    The two are compared on `texts`, real ones, and as many made ones as it takes to have 200. Raises
    UnsupportedModel where the model cannot be converted exactly, or where an answer differs.
    """
    converted = _convert(source, options)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=options.name,
        labels=converted.labels,
        text=converted.text,
        model=converted.model,
        threshold=0.5 if converted.threshold is None else converted.threshold,
        calibration=converted.calibration,
        trained_on=None,
        seed=None,
        versions={
            "python": ".".join(platform.python_version_tuple()[:2]),
            "numpy": np.__version__,
            **converted.versions,
        },
        metrics={},
    )
    artifact = Artifact(manifest, converted.vocabulary, converted.arrays, converted.network)
    checked = check_texts(texts, converted.words, converted.text.max_tokens)
    largest = largest_difference(
        artifact, converted.original, checked, converted.tolerance, converted.compared_with
    )
    metrics = {"import_largest_difference": largest, "import_checked_texts": float(len(checked))}
    artifact = replace(artifact, manifest=manifest.model_copy(update={"metrics": metrics}))
    card = _model_card(source, options, converted, len(texts), len(checked), largest)
    return replace(artifact, golden=golden_cases(artifact, seed=0), model_card=card)


def _convert(source: Path, options: ImportOptions) -> Converted:
    kind = source_kind(source)
    _check_options(source, kind, options)
    if kind == "onnx":
        from training_import.import_onnx import convert_onnx

        return convert_onnx(source, options)
    if kind == "keras":
        from training_import.import_keras import convert_keras, load_keras, read_word_index

        model = load_keras(source)
        return convert_keras(Package(model, read_word_index(source, options.word_index, model)), options)
    package = _read_skops(source) if kind == "skops" else _read_pickle(source, options)
    if _is_keras(package.model):
        from training_import.import_keras import convert_keras

        return convert_keras(package, options)
    from training_import.import_sklearn import convert_sklearn

    return convert_sklearn(package, options)


def _check_options(source: Path, kind: SourceKind, options: ImportOptions) -> None:
    """Refuse an option that would have no effect."""
    if options.word_index is not None and kind != "keras":
        raise UnsupportedModel(f"{source}: a word index goes with a .keras file only; {_is_a(kind)}")
    if options.tokenizer is not None and kind != "onnx":
        raise UnsupportedModel(
            f"{source}: a tokenizer description goes with an ONNX file only; {_is_a(kind)}"
        )
    if kind == "onnx" and (options.cleans or options.max_tokens is not None):
        raise UnsupportedModel(
            f"{source}: cleaning and max_tokens of an ONNX file belong in the `text` of its tokenizer "
            "description"
        )


def _is_a(kind: SourceKind) -> str:
    names = {"keras": "a .keras file", "skops": "a skops file", "pickle": "a pickle", "onnx": "an ONNX file"}
    return f"this is {names[kind]}"


def source_kind(source: Path) -> SourceKind:
    """Tell what a file is by its content, or its ending where the content has no mark. Runs nothing of it."""
    try:
        with source.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise UnsupportedModel(f"{source} cannot be read: {error.strerror}") from error
    if start.startswith(b"PK"):
        return _zip_kind(source)
    if start.startswith(b"\x89HDF"):
        raise UnsupportedModel(
            f"{source} is a HDF5 file; load it with the Keras that made it and save it as .keras"
        )
    ending = source.suffix.lower()
    if _is_pickle(start) or ending in {".pkl", ".pickle", ".joblib"}:
        return "pickle"
    if start.startswith(b"\x08") or ending == ".onnx":
        return "onnx"
    raise UnsupportedModel(f"{source} begins with {start!r}, which is none of: {SUPPORTED_SOURCES}")


def _zip_kind(source: Path) -> SourceKind:
    try:
        with zipfile.ZipFile(source) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile as error:
        raise UnsupportedModel(f"{source} is a broken zip file: {error}") from error
    if "schema.json" in names:
        return "skops"
    if {"config.json", "metadata.json"} <= names:
        return "keras"
    raise UnsupportedModel(
        f"{source} is a zip file without the parts of a Keras or skops model; supported are: "
        f"{SUPPORTED_SOURCES}"
    )


def _is_pickle(start: bytes) -> bool:
    # Protocols 2 to 5 begin with their number; 0 and 1 with an opcode for what is built first.
    numbered = start[:1] == b"\x80" and start[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}
    return numbered or start.startswith((*_COMPRESSED, b"ccopy_reg\n", b"(dp", b"(lp", b"}q", b"(i"))


def _read_skops(source: Path) -> Package:
    from skops import io as skops_io

    try:
        unknown = skops_io.get_untrusted_types(file=source)
    except Exception as error:  # a broken file raises whatever its parts raise
        raise UnsupportedModel(f"{source} is not a readable skops file: {error}") from error
    if unknown:
        raise UnsupportedModel(
            f"{source} holds types that skops does not trust: {', '.join(unknown)}; supported are "
            "scikit-learn's, NumPy's and SciPy's own"
        )
    notes: list[str] = []
    with _version_warnings(notes):
        try:
            model = skops_io.load(source, trusted=[])
        except Exception as error:  # as above
            raise UnsupportedModel(f"{source} is not a readable skops file: {error}") from error
    return Package(model, notes=tuple(notes))


def _read_pickle(source: Path, options: ImportOptions) -> Package:
    if not options.trust_pickle:
        raise UnsupportedModel(
            f"{source} is a pickle, and to read one runs whatever code its author put in; nothing was "
            "read. If you trust where it comes from, say so with --trust-pickle"
        )
    import joblib

    notes: list[str] = []
    with _version_warnings(notes), _former_modules():
        try:
            content = joblib.load(source)
        except Exception as error:  # unpickling raises anything at all
            raise UnsupportedModel(
                f"{source} cannot be unpickled by the libraries installed here: {type(error).__name__}: "
                f"{error}"
            ) from error
    return _package(source, content, tuple(notes))


@contextlib.contextmanager
def _version_warnings(notes: list[str]) -> Iterator[None]:
    """Keep what scikit-learn says of a model from another version of it."""
    import sklearn
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    versions = {
        w.message.original_sklearn_version
        for w in caught
        if isinstance(w.message, InconsistentVersionWarning)
    }
    notes += [
        f"It was saved with scikit-learn {version} and compared under {sklearn.__version__}."
        for version in sorted(versions)
    ]


@contextlib.contextmanager
def _former_modules() -> Iterator[None]:
    """Let the modules that Keras's Tokenizer used to be in lead to where it is now."""
    stand_ins = {name: _LazyTokenizer(name) for name in ("keras_preprocessing", *_FORMER_TOKENIZERS)}
    added = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


class _LazyTokenizer(ModuleType):
    """Stands for a former module, and imports Keras only if the pickle asks for something of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(_LEGACY_TOKENIZER), name)


def _package(source: Path, content: Any, notes: tuple[str, ...]) -> Package:
    """The earlier service's dict, or a bare model."""
    if not isinstance(content, dict):
        return Package(content, notes=notes)
    known = {"model", "tokenizer", "vectorizer", "threshold", "max_tokens"}
    described = {"model_type", "embedding_size", "vocab_size"}
    if content.get("model") is None:
        raise UnsupportedModel(
            f"{source} holds a dict with the keys {', '.join(map(repr, content))}; it needs 'model', "
            "and 'tokenizer' or 'vectorizer'"
        )
    tokenizers = [content[key] for key in ("tokenizer", "vectorizer") if content.get(key) is not None]
    if len(tokenizers) > 1:
        raise UnsupportedModel(
            f"{source} holds a 'tokenizer' and a 'vectorizer'; only one can be the model's"
        )
    notes += tuple(f"The package says {key} {content[key]}." for key in sorted(described & content.keys()))
    unread = sorted(str(key) for key in content.keys() - known - described)
    if unread:
        notes += (f"Not read from the package: {', '.join(unread)}.",)
    return Package(
        content["model"],
        tokenizers[0] if tokenizers else None,
        _threshold(source, content.get("threshold")),
        _max_tokens(source, content.get("max_tokens")),
        notes,
    )


def _threshold(source: Path, value: Any) -> float | None:
    if value is None:
        return None
    try:
        threshold = float(value)
    except (TypeError, ValueError) as error:
        raise UnsupportedModel(
            f"{source}: threshold is {value!r}; it must be a number from 0 to 1"
        ) from error
    if not 0 <= threshold <= 1:
        raise UnsupportedModel(f"{source}: threshold is {threshold}; it must be from 0 to 1")
    return threshold


def _max_tokens(source: Path, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UnsupportedModel(f"{source}: max_tokens is {value!r}; it must be a whole number from 1 up")
    return int(value)


def _is_keras(model: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.Model)


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


def check_texts(texts: Sequence[str], words: Sequence[str | None], max_tokens: int) -> list[str]:
    """The real texts, then made ones until there are 200: among them rare words, and more than is read."""
    made = made_texts(words, max(FEWEST_CHECKED_TEXTS - len(texts), FEWEST_MADE_TEXTS), seed=1)
    known = [word for word in words if word]
    long = itertools.islice(itertools.cycle(known), min(max_tokens, LONGEST_MADE_TEXT) + 10)
    return [*texts, *made, " ".join(known[-20:]), " ".join(long)]


def largest_difference(
    artifact: Artifact,
    original: Original,
    texts: Sequence[str],
    tolerance: float,
    compared_with: str = "the original",
) -> float:
    """The largest difference of a probability between artifact and original, over all texts and classes.

    Raises UnsupportedModel where it is above `tolerance`, with the text it is largest for.
    """
    expected = original(texts)
    try:
        predictions = Classifier(artifact).predict(texts)
    except ClassifierError:
        raise
    except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
        raise UnsupportedModel(f"the imported model cannot score the texts: {error}") from error
    imported = np.array([list(prediction.probabilities.values()) for prediction in predictions])
    if expected.shape != imported.shape:
        raise UnsupportedModel(
            f"{compared_with} answers with shape {expected.shape}, the imported model with {imported.shape}"
        )
    differences = np.nan_to_num(np.abs(imported - expected), nan=math.inf)
    text, class_ = divmod(int(differences.argmax()), differences.shape[1])
    largest = float(differences[text, class_])
    if largest > tolerance:
        label, shown = artifact.manifest.labels[class_], texts[text][:SHOWN_CHARACTERS]
        raise UnsupportedModel(
            f"the imported model differs from {compared_with} by {largest:.3g} where {tolerance:g} is "
            f"allowed: for the text {shown!r} the probability of {label!r} is "
            f"{imported[text, class_]:.8f} instead of {expected[text, class_]:.8f}. It was the worst of "
            f"{len(texts)} texts"
        )
    return largest


def _model_card(
    source: Path, options: ImportOptions, converted: Converted, real: int, checked: int, largest: float
) -> str:
    notes = (
        *converted.notes,
        "Its training data and accuracy are not known here; "
        "`python -m training_import evaluate` measures it on yours.",
        "Its probabilities are the original's: nothing was calibrated here.",
    )
    return (
        f"# {options.name}\n\n"
        f"A text classifier of kind *{converted.model.kind}* for {len(converted.labels)} classes: "
        f"{', '.join(converted.labels)}.\n\n"
        f"Imported from {source.name} (SHA-256 {hashlib.sha256(source.read_bytes()).hexdigest()}): "
        f"{converted.description}.\n\n"
        f"## Check\n\nCompared with {converted.compared_with}, on {checked} texts, {real} of them real "
        f"and the others made from its vocabulary: no probability differs by more than {largest:.3g}; up to "
        f"{converted.tolerance:g} is allowed.\n\n"
        "## Notes\n\n" + "".join(f"- {note}\n" for note in notes)
    )
