"""A foreign model to an artifact that answers as the original does, which at least 200 texts prove."""

import hashlib
import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from classifier.artifact import FORMAT_VERSION, Artifact, Manifest
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier
from training_import.conversion.converted import Converted, ImportOptions, Original, Package, UnsupportedModel
from training_import.conversion.foreign_files import SourceKind, read_pickle, read_skops, source_kind
from training_import.samples import golden_cases, made_texts

FEWEST_CHECKED_TEXTS = 200


FEWEST_MADE_TEXTS = 50
"""Texts that are made even where the user gives enough: they hold what real texts seldom do."""


LONGEST_MADE_TEXT = 2000


SHOWN_CHARACTERS = 300


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
        versions=dict(converted.versions),
        metrics={},
    )
    artifact = Artifact(manifest, converted.vocabulary, converted.weights)
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
        from training_import.conversion.from_onnx import convert_onnx

        return convert_onnx(source, options)
    if kind == "keras":
        from training_import.conversion.from_keras import convert_keras, load_keras, read_word_index

        model = load_keras(source)
        return convert_keras(Package(model, read_word_index(source, options.word_index, model)), options)
    package = read_skops(source) if kind == "skops" else read_pickle(source, options)
    if _is_keras(package.model):
        from training_import.conversion.from_keras import convert_keras

        return convert_keras(package, options)
    from training_import.conversion.from_sklearn import convert_sklearn

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


def _is_keras(model: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.Model)


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
        imported = Classifier(artifact).probabilities(texts)
    except ClassifierError:
        raise
    except Exception as error:  # onnxruntime raises a class of its own for each kind of fault
        raise UnsupportedModel(f"the imported model cannot score the texts: {error}") from error
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
        "Its training data and accuracy are not known here; `text-classifier evaluate` measures it on yours.",
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
