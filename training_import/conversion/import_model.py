"""Import a foreign model, and prove on at least 200 texts that the artifact gives the same answers."""

import hashlib
import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from classifier.artifact import FORMAT_VERSION, Artifact, Manifest
from classifier.drift.reference import Reference, build_reference
from classifier.drift.window import features_of
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier
from training_import.conversion.converted import Converted, ImportOptions, Original, Package, UnsupportedModel
from training_import.conversion.foreign_files import SourceKind, read_pickle, read_skops, source_kind
from training_import.samples import generated_texts, golden_cases

MIN_CHECKED_TEXTS = 200

MIN_GENERATED_TEXTS = 50
"""Fewest generated texts, even if the user gives enough real ones, which seldom contain what these do."""

MAX_GENERATED_WORDS = 2000
"""Most words of the generated text that is longer than what the model reads, unless the model reads fewer."""

MAX_SHOWN_CHARACTERS = 300


def import_model(source: Path, options: ImportOptions, texts: Sequence[str] = ()) -> Artifact:
    """Convert a foreign model, compare it with the original, and make an artifact.

    The two are compared on `texts`, which are real, and on generated texts, at least 200 in all. Raises
    UnsupportedModel if the model cannot be converted exactly, or if an answer differs.
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
    additions = {"metrics": metrics, "reference": _reference(artifact, texts)}
    artifact = replace(artifact, manifest=manifest.model_copy(update=additions))
    card = _model_card(source, options, converted, len(texts), len(checked), largest)
    return replace(artifact, golden=golden_cases(artifact, seed=0), model_card=card)


def _reference(artifact: Artifact, texts: Sequence[str]) -> Reference | None:
    """Return the reference that the real texts give; None if there are too few of them."""
    if not texts:
        return None
    features = features_of(list(Classifier(artifact).runs(texts)))
    return build_reference(features, len(artifact.manifest.labels))


def _convert(source: Path, options: ImportOptions) -> Converted:
    kind = _SOURCES[source_kind(source)]
    kind.check(source, options)
    return kind.convert(source, options)


def _convert_onnx_file(source: Path, options: ImportOptions) -> Converted:
    from training_import.conversion.from_onnx import convert_onnx

    return convert_onnx(source, options)


def _convert_keras_file(source: Path, options: ImportOptions) -> Converted:
    from training_import.conversion.from_keras import convert_keras, load_keras, read_word_index

    model = load_keras(source)
    return convert_keras(Package(model, read_word_index(source, options.word_index, model)), options)


def _convert_skops_file(source: Path, options: ImportOptions) -> Converted:
    return _convert_package(read_skops(source), options)


def _convert_pickle(source: Path, options: ImportOptions) -> Converted:
    return _convert_package(read_pickle(source, options), options)


def _convert_package(package: Package, options: ImportOptions) -> Converted:
    if _is_keras(package.model):
        from training_import.conversion.from_keras import convert_keras

        return convert_keras(package, options)
    from training_import.conversion.from_sklearn import convert_sklearn

    return convert_sklearn(package, options)


@dataclass(frozen=True)
class _Source:
    """A kind of file that a foreign model can be in."""

    name: str
    convert: Callable[[Path, ImportOptions], Converted]
    takes_word_index: bool = False
    takes_tokenizer: bool = False
    takes_cleaning: bool = True

    def check(self, source: Path, options: ImportOptions) -> None:
        """Raise UnsupportedModel for an option that would have no effect."""
        if options.word_index is not None and not self.takes_word_index:
            raise UnsupportedModel(
                f"{source}: a word index goes with a .keras file only; this is {self.name}"
            )
        if options.tokenizer is not None and not self.takes_tokenizer:
            raise UnsupportedModel(
                f"{source}: a tokenizer description goes with an ONNX file only; this is {self.name}"
            )
        if not self.takes_cleaning and (options.cleans or options.max_tokens is not None):
            raise UnsupportedModel(
                f"{source}: for an ONNX file, cleaning and max_tokens belong in the `text` of the "
                "tokenizer's description"
            )


_SOURCES: Mapping[SourceKind, _Source] = MappingProxyType(
    {
        "keras": _Source("a .keras file", _convert_keras_file, takes_word_index=True),
        "skops": _Source("a skops file", _convert_skops_file),
        "pickle": _Source("a pickle", _convert_pickle),
        "onnx": _Source("an ONNX file", _convert_onnx_file, takes_tokenizer=True, takes_cleaning=False),
    }
)


def _is_keras(model: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.Model)


def check_texts(texts: Sequence[str], words: Sequence[str | None], max_tokens: int) -> list[str]:
    """Return the real texts, then generated ones, at least 200 in all.

    One of the generated texts has rare words, and one is longer than what the model reads.
    """
    generated = generated_texts(words, max(MIN_CHECKED_TEXTS - len(texts), MIN_GENERATED_TEXTS), seed=1)
    known = [word for word in words if word]
    long = itertools.islice(itertools.cycle(known), min(max_tokens, MAX_GENERATED_WORDS) + 10)
    return [*texts, *generated, " ".join(known[-20:]), " ".join(long)]


def largest_difference(
    artifact: Artifact,
    original: Original,
    texts: Sequence[str],
    tolerance: float,
    compared_with: str = "the original",
) -> float:
    """Return the largest difference between a probability of the artifact and of the original.

    Raises UnsupportedModel if it is above `tolerance`, with the text for which it is largest.
    """
    expected = original(texts)
    try:
        imported = Classifier(artifact).probabilities(texts)
    except ClassifierError:
        raise
    except Exception as error:  # onnxruntime has a class for each kind of fault
        raise UnsupportedModel(f"the imported model cannot score the texts: {error}") from error
    if expected.shape != imported.shape:
        raise UnsupportedModel(
            f"{compared_with} gives probabilities of shape {expected.shape}, the imported model of "
            f"{imported.shape}"
        )
    differences = np.nan_to_num(np.abs(imported - expected), nan=math.inf)
    text, class_ = divmod(int(differences.argmax()), differences.shape[1])
    largest = float(differences[text, class_])
    if largest > tolerance:
        label, shown = artifact.manifest.labels[class_], texts[text][:MAX_SHOWN_CHARACTERS]
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
        "Its training data and accuracy are not known; "
        "`text-classifier evaluate` measures its accuracy on your data.",
        "Its probabilities are those of the original: the import did not calibrate them.",
    )
    return (
        f"# {options.name}\n\n"
        f"A text classifier (kind *{converted.model.kind}*) for {len(converted.labels)} classes: "
        f"{', '.join(converted.labels)}.\n\n"
        f"Imported from {source.name} (SHA-256 {hashlib.sha256(source.read_bytes()).hexdigest()}): "
        f"{converted.description}.\n\n"
        f"## Check\n\nCompared with {converted.compared_with}, on {checked} texts, {real} of them real "
        f"and the others made from its vocabulary: no probability differs by more than {largest:.3g}; up to "
        f"{converted.tolerance:g} is allowed.\n\n"
        "## Notes\n\n" + "".join(f"- {note}\n" for note in notes)
    )
