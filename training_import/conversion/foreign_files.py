"""Recognize the kind of file that a foreign model is in, and read pickles and skops files."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from classifier.validation import MAX_SHOWN_CHARACTERS, shortened
from training_import.conversion.converted import (
    ClassNames,
    ImportOptions,
    Package,
    Thresholds,
    UnsupportedModel,
)
from training_import.conversion.labels import NAMING_KEYS, by_index, name_of, read_class_names
from training_import.tensorflow_logs import silence_tensorflow

SUPPORTED_SOURCES = (
    "a Keras model (.keras or .h5) with a word index or a TextVectorization layer; a scikit-learn Pipeline, "
    "or a package, which is a dict with a model and its vectorizer or tokenizer (skops, joblib or pickle); "
    "an ONNX file with a description of its tokenizer; a folder of Hugging Face with a transformer"
)

SourceKind = Literal["keras", "skops", "pickle", "onnx", "transformer"]

_KEYS = ("model", "tokenizer", "vectorizer", "threshold", "thresholds", "max_tokens")
"""The keys of a package that are used, besides those that name the classes."""

MAX_UNPACKED_BYTES = 8 * 2**30
"""Most bytes to which a skops or Keras file may unpack."""

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
"""The first bytes of compressed joblib files: gzip, bz2, xz, lzma, lz4, zlib."""

_HUB_NAME = re.compile(
    r"[\w-]+/[\w-][\w.-]*(?<!\.onnx)(?<!\.h5)(?<!\.keras)(?<!\.pkl)(?<!\.joblib)(?<!\.skops)"
)
"""What can be the name of a model on the Hugging Face Hub, such as "google-bert/bert-base-uncased"."""

_FORMER_TOKENIZERS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            "keras_preprocessing",
            "keras_preprocessing.text",
            "keras.preprocessing.text",
            "keras.src.preprocessing.text",
            "tensorflow.python.keras.preprocessing.text",
        ),
        "keras.src.legacy.preprocessing.text",
    )
)
"""Former modules of the Keras Tokenizer, which old pickles still name, and the present one."""

HARMLESS_TYPES = frozenset(
    {
        "numpy.ma.core.MaskedArray",
        "scipy.sparse._csc.csc_matrix",
        "scipy.sparse._csr.csr_matrix",
        "sklearn.metrics._scorer._MultimetricScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
    }
)
"""Types that skops does not trust by default, but that do no harm: matrices, and how a search scored models.

Names are whole, because a skops file can call whatever its types name, such as the loader of a module.
"""

HARMLESS_MODULES: Mapping[str, str] = MappingProxyType(
    {
        "sklearn.metrics._classification": "sklearn.metrics",
        "sklearn.metrics._ranking": "sklearn.metrics",
        "sklearn.model_selection._split": "sklearn.model_selection",
    }
)
"""Modules with scores and splits of a search, and the packages that make their harmless names public."""

_LOST_NAMES = (
    re.compile(r"Can't get attribute '(?P<name>[^']+)' on <module '(?P<module>[^']+)'"),
    re.compile(r"module '(?P<module>[^']+)' has no attribute '(?P<name>[^']+)'"),
)
"""Python's messages for a name of a pickle that its module does not have; the second is of old pickles."""

_NAME_OF_A_PICKLE = (
    "a pickle has only the name of a function or class, not its code. A vectorizer with its own function "
    "cannot be imported in any case: say what the function does with the vectorizer's settings, such as "
    "`token_pattern`, `lowercase` or `stop_words`, train again and save"
)


def source_kind(source: Path) -> SourceKind:
    """Return the kind of a file, by its first bytes or else by its ending, or the kind of a folder.

    Nothing in the file is run. Raises UnsupportedModel.
    """
    if source.is_dir():
        return _folder_kind(source)
    try:
        with source.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        hint = ""
        if isinstance(error, FileNotFoundError) and _HUB_NAME.fullmatch(str(source)):
            hint = f". `hf download {source} --local-dir FOLDER` fetches it if it is on the Hugging Face Hub"
        raise UnsupportedModel(f"{source} cannot be read: {error.strerror}{hint}") from error
    if start.startswith(b"PK"):
        return _zip_kind(source)
    if start.startswith(b"\x89HDF"):
        return "keras"
    ending = source.suffix.lower()
    if _is_pickle(start) or ending in {".pkl", ".pickle", ".joblib"}:
        return "pickle"
    if start.startswith(b"\x08") or ending == ".onnx":
        return "onnx"
    raise UnsupportedModel(f"{source} begins with {start!r}; supported are: {SUPPORTED_SOURCES}")


def _folder_kind(source: Path) -> SourceKind:
    if (source / "saved_model.pb").exists():
        raise UnsupportedModel(
            f"{source} is a SavedModel folder; load it with the version of TensorFlow that made it and save "
            f"it as .keras: `tf.keras.models.load_model({source.name!r}).save({source.name + '.keras'!r})`. "
            f"If `model.export` made it, call `model.save({source.name + '.keras'!r})` there instead"
        )
    return "transformer"


def _zip_kind(source: Path) -> SourceKind:
    try:
        with zipfile.ZipFile(source) as archive:
            names = set(archive.namelist())
            unpacked = sum(part.file_size for part in archive.infolist())
    except zipfile.BadZipFile as error:
        raise UnsupportedModel(f"{source} is a broken zip file: {error}") from error
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnsupportedModel(
            f"{source} unpacks to {unpacked:,} bytes; at most {MAX_UNPACKED_BYTES:,} are read"
        )
    if "schema.json" in names:
        return "skops"
    if {"config.json", "metadata.json"} <= names:
        return "keras"
    raise UnsupportedModel(
        f"{source} is a zip file without the parts of a Keras or skops model; supported are: "
        f"{SUPPORTED_SOURCES}"
    )


def _is_pickle(start: bytes) -> bool:
    # Protocols 2 to 5 begin with their number; 0 and 1 begin with the opcode that builds the first object.
    numbered = start[:1] == b"\x80" and start[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}
    return numbered or start.startswith((*_COMPRESSED, b"ccopy_reg\n", b"(dp", b"(lp", b"}q", b"(i"))


def read_skops(source: Path, options: ImportOptions) -> Package:
    """Read a skops file; raises UnsupportedModel if it has a type that could run code."""
    from skops import io as skops_io

    from training_import.conversion.older_sklearn import former_names, noted_versions, repair

    try:
        with former_names():
            unknown = skops_io.get_untrusted_types(file=source)
    except Exception as error:  # a broken file can raise anything
        raise _unreadable(source, error) from error
    refused = [name for name in unknown if not _is_harmless(name)]
    if refused:
        raise UnsupportedModel(
            f"{source} has types that skops does not trust, because they could run code: "
            f"{', '.join(refused)}. Leave out the steps that need them; or, if you trust who made the model, "
            "have it saved with joblib and import that file with --trust-pickle"
        )
    with noted_versions() as versions, former_names():
        try:
            content = skops_io.load(source, trusted=unknown)
        except Exception as error:  # a broken file can raise anything
            raise _unreadable(source, error) from error
    repair(content)
    return _package(source, content, tuple(versions), options)


def _is_harmless(name: str) -> bool:
    from training_import.conversion.older_sklearn import LOST_NAMES

    module, _, attribute = name.rpartition(".")
    if name in HARMLESS_TYPES or attribute in LOST_NAMES.get(module, ()):
        return True
    public = HARMLESS_MODULES.get(module)
    return public is not None and attribute in import_module(public).__all__


def _unreadable(source: Path, error: Exception) -> UnsupportedModel:
    why = str(error).strip().rstrip(".")
    return UnsupportedModel(
        f"{source} is not a skops file that the installed skops can read: {why}. If an older "
        "skops or scikit-learn saved it, have the model saved there with joblib and import that file with "
        "--trust-pickle"
    )


def read_pickle(source: Path, options: ImportOptions) -> Package:
    """Unpickle a file if the options say that it is trusted.

    Otherwise raises UnsupportedModel before any of it is read.
    """
    if not options.trust_pickle:
        raise UnsupportedModel(
            f"{source} is a pickle, and reading one runs any code that its author put in; nothing was read. "
            "If you trust its source, give --trust-pickle"
        )
    silence_tensorflow()  # A pickle of a Tokenizer loads it.
    import joblib

    from training_import.conversion.older_sklearn import (
        former_names,
        noted_versions,
        repair,
        replaced_modules,
        version_in,
    )

    try:
        with noted_versions() as versions, former_names(), replaced_modules(_FORMER_TOKENIZERS):
            content = joblib.load(source)
    except Exception as error:  # unpickling can raise anything
        why = _say_why(error, versions or version_in(source.read_bytes()))
        raise UnsupportedModel(f"{source} cannot be unpickled: {why}") from error
    repair(content)
    return _package(source, content, tuple(versions), options)


def _say_why(error: Exception, versions: list[str]) -> str:
    """Say why a pickle cannot be read, and what to do; `versions` of scikit-learn saved it."""
    from training_import.conversion.older_sklearn import way_out

    lost = next(filter(None, (pattern.search(str(error)) for pattern in _LOST_NAMES)), None)
    if lost and lost["module"].endswith("__main__"):  # `cli.__main__` if the command runs with `python -m`
        return (
            f"the function or class {lost['name']!r} is not in the file, but in the script that saved it "
            f"(`__main__`); {_NAME_OF_A_PICKLE}"
        )
    module = lost["module"] if lost else error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    if module.partition(".")[0] == "sklearn":
        return f"{error}; {way_out(versions)}"
    if module:
        return f"it needs the module {module!r}, and {error}; {_NAME_OF_A_PICKLE}"
    return f"{type(error).__name__}: {error}" + (f"; {way_out(versions)}" if versions else "")


def _package(
    source: Path, content: Any, sklearn_versions: tuple[str, ...], options: ImportOptions
) -> Package:
    """Return the content of a dict with a model, or of a bare model."""
    from training_import.conversion.older_sklearn import version_notes

    notes = version_notes(sklearn_versions)
    if not isinstance(content, dict):
        return Package(content, sklearn_versions=sklearn_versions, notes=notes)
    if content.get("model") is None:
        raise UnsupportedModel(
            f"{source} has a dict with the keys {', '.join(map(repr, content))}; it needs 'model', and "
            "'tokenizer' or 'vectorizer' unless the model is a pipeline"
        )
    tokenizers = [content[key] for key in ("tokenizer", "vectorizer") if content.get(key) is not None]
    if len(tokenizers) > 1:
        raise UnsupportedModel(
            f"{source} has a 'tokenizer' and a 'vectorizer'; a model can have only one of them"
        )
    class_names = tuple(_class_names(content, options))
    naming = () if options.labels is not None else (names.key for names in class_names)
    described = [key for key in ("embedding_size", "model_type", "vocab_size") if key in content]
    used = {*_KEYS, *described, *naming}
    threshold = content.get("threshold")
    return Package(
        content["model"],
        tokenizers[0] if tokenizers else None,
        None if threshold is None else _threshold(source, "threshold", threshold),
        _thresholds(source, content.get("thresholds")),
        _max_tokens(source, content.get("max_tokens")),
        class_names=class_names,
        sklearn_versions=sklearn_versions,
        unused=tuple(sorted(str(key) for key in content.keys() - used)),
        notes=(*notes, *(f"According to the package, {key} is {content[key]}." for key in described)),
    )


def _class_names(content: Mapping[Any, Any], options: ImportOptions) -> Iterator[ClassNames]:
    """Read what names the classes; where --labels overrides it, what cannot be read is left out."""
    for key, value in content.items():
        if _names_classes(key, value):
            try:
                yield read_class_names(key, value)
            except UnsupportedModel:
                if options.labels is None:
                    raise


def _names_classes(key: Any, value: Any) -> bool:
    """Return whether an entry of a package names the classes; a number of classes does not."""
    from sklearn.preprocessing import LabelEncoder, MultiLabelBinarizer

    is_name = key in NAMING_KEYS and value is not None and not isinstance(value, int | np.integer)
    return is_name or isinstance(value, LabelEncoder | MultiLabelBinarizer)


def _threshold(source: Path, name: str, value: Any) -> float:
    try:
        threshold = float(value)
    except (TypeError, ValueError) as error:
        raise UnsupportedModel(f"{source}: {name} is {value!r}; it must be a number from 0 to 1") from error
    if not 0 <= threshold <= 1:
        raise UnsupportedModel(f"{source}: {name} is {threshold}; it must be from 0 to 1")
    return threshold


def _thresholds(source: Path, value: Any) -> Thresholds | None:
    """Return the thresholds of several labels: a list in the order of the labels, or {label: threshold}."""
    if value is None:
        return None
    try:
        value, dimensions = by_index(value), np.ndim(value)
    except ValueError:  # A label twice, or lists of different lengths.
        dimensions = 0
    if isinstance(value, Mapping):
        found = {
            name_of(name): _threshold(source, f"thresholds[{name!r}]", each) for name, each in value.items()
        }
        if len(found) == len(value):
            return found
    if dimensions != 1:
        raise UnsupportedModel(
            f"{source}: thresholds is {shortened(repr(value), MAX_SHOWN_CHARACTERS)}; it must be a list in "
            "the order of the labels, or {label: threshold}"
        )
    return tuple(_threshold(source, f"thresholds[{number}]", each) for number, each in enumerate(value))


def _max_tokens(source: Path, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise UnsupportedModel(f"{source}: max_tokens is {value!r}; it must be a whole number, at least 1")
    return int(value)
