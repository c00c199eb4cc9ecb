"""Detect the kind of a foreign model's file, and read pickles and skops files."""

import contextlib
import importlib
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from training_import.conversion.converted import ImportOptions, Package, UnsupportedModel

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
"""The first bytes of compressed joblib files: gzip, bz2, xz, lzma, lz4, zlib."""


_LEGACY_TOKENIZER = "keras.src.legacy.preprocessing.text"


_FORMER_TOKENIZERS = (
    "keras.preprocessing.text",
    "keras.src.preprocessing.text",
    "keras_preprocessing.text",
    "tensorflow.python.keras.preprocessing.text",
)
"""Modules that the Keras Tokenizer was in before; old pickles name it by them."""


def source_kind(source: Path) -> SourceKind:
    """Detect the kind of a file by its content, or by its ending if its content has no mark.

    Nothing in the file is run. Raises UnsupportedModel.
    """
    try:
        with source.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise UnsupportedModel(f"{source} cannot be read: {error.strerror}") from error
    if start.startswith(b"PK"):
        return _zip_kind(source)
    if start.startswith(b"\x89HDF"):
        raise UnsupportedModel(
            f"{source} is an HDF5 file; load it with the version of Keras that made it and save it as .keras"
        )
    ending = source.suffix.lower()
    if _is_pickle(start) or ending in {".pkl", ".pickle", ".joblib"}:
        return "pickle"
    if start.startswith(b"\x08") or ending == ".onnx":
        return "onnx"
    raise UnsupportedModel(f"{source} begins with {start!r}; supported are: {SUPPORTED_SOURCES}")


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
    # Protocols 2 to 5 begin with their number; 0 and 1 begin with the opcode that builds the first object.
    numbered = start[:1] == b"\x80" and start[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}
    return numbered or start.startswith((*_COMPRESSED, b"ccopy_reg\n", b"(dp", b"(lp", b"}q", b"(i"))


def read_skops(source: Path) -> Package:
    """Read a skops file; raises UnsupportedModel if it has a type that skops does not trust by default."""
    from skops import io as skops_io

    try:
        unknown = skops_io.get_untrusted_types(file=source)
    except Exception as error:  # a broken file can raise anything
        raise UnsupportedModel(f"{source} is not a readable skops file: {error}") from error
    if unknown:
        raise UnsupportedModel(
            f"{source} has types that skops does not trust: {', '.join(unknown)}; supported are the types of "
            "scikit-learn, NumPy and SciPy"
        )
    notes: list[str] = []
    with _version_warnings(notes):
        try:
            model = skops_io.load(source, trusted=[])
        except Exception as error:  # a broken file can raise anything
            raise UnsupportedModel(f"{source} is not a readable skops file: {error}") from error
    return Package(model, notes=tuple(notes))


def read_pickle(source: Path, options: ImportOptions) -> Package:
    """Unpickle a file if the options say that it is trusted.

    Otherwise raises UnsupportedModel before any of it is read.
    """
    if not options.trust_pickle:
        raise UnsupportedModel(
            f"{source} is a pickle, and reading one runs any code that its author put in; nothing was read. "
            "If you trust its source, give --trust-pickle"
        )
    import joblib

    notes: list[str] = []
    with _version_warnings(notes), _former_modules():
        try:
            content = joblib.load(source)
        except Exception as error:  # unpickling can raise anything
            raise UnsupportedModel(
                f"{source} cannot be unpickled by the libraries installed here: {type(error).__name__}: "
                f"{error}"
            ) from error
    return _package(source, content, tuple(notes))


@contextlib.contextmanager
def _version_warnings(notes: list[str]) -> Iterator[None]:
    """Turn scikit-learn's warnings about a model from another version into notes."""
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
    """Make the former modules of Keras's Tokenizer importable while a pickle is read."""
    replacements = {name: _LazyTokenizer(name) for name in ("keras_preprocessing", *_FORMER_TOKENIZERS)}
    added = {name: module for name, module in replacements.items() if name not in sys.modules}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


class _LazyTokenizer(ModuleType):
    """Replaces a former module, and imports Keras only if the pickle uses something from it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(_LEGACY_TOKENIZER), name)


def _package(source: Path, content: Any, notes: tuple[str, ...]) -> Package:
    """Return the content of the earlier service's dict, or of a bare model."""
    if not isinstance(content, dict):
        return Package(content, notes=notes)
    known = {"model", "tokenizer", "vectorizer", "threshold", "max_tokens"}
    described = {"model_type", "embedding_size", "vocab_size"}
    if content.get("model") is None:
        raise UnsupportedModel(
            f"{source} has a dict with the keys {', '.join(map(repr, content))}; it needs 'model', and "
            "'tokenizer' or 'vectorizer'"
        )
    tokenizers = [content[key] for key in ("tokenizer", "vectorizer") if content.get(key) is not None]
    if len(tokenizers) > 1:
        raise UnsupportedModel(
            f"{source} has a 'tokenizer' and a 'vectorizer'; a model can have only one of them"
        )
    notes += tuple(
        f"According to the package, {key} is {content[key]}." for key in sorted(described & content.keys())
    )
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
        raise UnsupportedModel(f"{source}: max_tokens is {value!r}; it must be a whole number, at least 1")
    return int(value)
