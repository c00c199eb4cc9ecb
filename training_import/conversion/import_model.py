"""Import a foreign model, and prove on at least 200 texts that the artifact gives the same answers."""

import hashlib
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from classifier.artifact import DEFAULT_THRESHOLD, FORMAT_VERSION, Artifact, Manifest
from classifier.drift.reference import Reference, build_reference
from classifier.drift.window import features_of
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier
from classifier.validation import shortened
from datafiles.surrogates import replace_surrogates
from training_import.conversion.calibrate import calibrated
from training_import.conversion.comparison import (
    MAX_SHOWN_CHARACTERS,
    ORIGINAL,
    Comparison,
    compare,
)
from training_import.conversion.converted import (
    ClassLabels,
    Converted,
    ImportOptions,
    LabelSets,
    Package,
    UnsupportedModel,
)
from training_import.conversion.expected import Expected, read_expected
from training_import.conversion.foreign_files import SourceKind, read_pickle, read_skops, source_kind
from training_import.conversion.label_sets import (
    check_single_label,
    say_thresholds,
    thresholds_of,
)
from training_import.conversion.quantization import measure_quantization, say_quantization
from training_import.samples import generated_texts, golden_cases
from training_import.strongest import strongest_section

MIN_CHECKED_TEXTS = 200

MIN_GENERATED_TEXTS = 50
"""Fewest generated texts, even if the user gives enough real ones, which seldom contain what these do."""

MAX_GENERATED_WORDS = 2000
"""Most words of the generated text that is longer than what the model reads, unless the model reads fewer."""

EXPECTED_TOLERANCE = 1e-4
"""How far a probability may be from that of `--expected`, which is often written with four digits."""

NOT_COMPARED = (
    "Nothing was compared with the original: its tokenizer did not come with the file, so the description of "
    "the tokenizer could not be checked. Give --expected with texts and the original's probabilities."
)


@dataclass(frozen=True)
class Imported:
    """An imported model, with what a person should know about the import."""

    artifact: Artifact
    labels: ClassLabels
    comparisons: tuple[Comparison, ...]
    unused: tuple[str, ...]
    """The keys of the package that were not used."""
    notes: tuple[str, ...]


def import_model(
    source: Path, options: ImportOptions, texts: Sequence[str] = (), labels: LabelSets = ()
) -> Artifact:
    """Return only the artifact of `convert_and_compare`."""
    return convert_and_compare(source, options, texts, labels).artifact


def convert_and_compare(
    source: Path, options: ImportOptions, texts: Sequence[str] = (), labels: LabelSets = ()
) -> Imported:
    """Convert a foreign model, compare it with the original, and make an artifact.

    The two are compared on `texts`, which are real, and on generated texts, at least 200 in all, and on the
    texts of `options.expected`. `labels` are those of the real texts, one or all of each, which a model
    without probabilities is calibrated with. Raises UnsupportedModel if the model cannot be converted
    exactly, or if an answer differs.
    """
    converted = _convert(source, options)
    if not converted.has_several_labels:
        check_single_label(converted, options, labels)
    if converted.calibration is None:
        converted = calibrated(converted, texts, labels)
    thresholds = thresholds_of(converted, options) if converted.has_several_labels else None
    expected = None
    if options.expected is not None:
        names, are_several = converted.labels.names, converted.has_several_labels
        expected = read_expected(options.expected, names, are_several)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=options.name,
        labels=converted.labels.names,
        text=converted.text,
        model=converted.model,
        threshold=_threshold(converted),
        thresholds=thresholds,
        calibration=converted.calibration,
        trained_on=None,
        seed=None,
        versions=dict(converted.versions),
        metrics={},
    )
    artifact = Artifact(manifest, converted.vocabulary, converted.weights)
    rows = _compared_rows(len(texts), converted.max_compared)
    real = [texts[row] for row in rows]
    checked = check_texts(real, converted.words, converted.text.max_tokens)
    check = _compare_with_original(artifact, converted, checked, len(real))
    quantization, smaller = None, converted.quantization
    if smaller is not None:
        known = [labels[row] for row in rows] if labels else []
        quantization = measure_quantization(smaller, check, manifest, known)
    comparisons = (
        *([check] if converted.has_original else []),
        *([] if expected is None else [_compare_with_expected(artifact, converted, expected)]),
    )
    additions = {
        "metrics": _metrics(comparisons),
        "reference": _reference(artifact, texts),
        "quantization": quantization,
    }
    artifact = replace(artifact, manifest=manifest.model_copy(update=additions))
    notes = (
        *converted.labels.notes,
        *([say_thresholds(manifest)] if manifest.has_several_labels else []),
        *converted.notes,
        *([say_quantization(smaller, quantization)] if smaller and quantization else []),
        *([] if comparisons else [NOT_COMPARED]),
    )
    imported = Imported(artifact, converted.labels, comparisons, converted.unused, notes)
    card = _model_card(source, converted, imported, check)
    strongest = strongest_section(artifact)
    if strongest is not None:
        card += f"\n{strongest}\n"
    return replace(
        imported,
        artifact=replace(
            artifact,
            golden=golden_cases(artifact, converted.vocabulary or converted.words, seed=0),
            model_card=replace_surrogates(card),
        ),
    )


def _threshold(converted: Converted) -> float:
    """Return the threshold of the second of two classes."""
    if converted.threshold is None or converted.has_several_labels:
        return DEFAULT_THRESHOLD
    return converted.threshold


def _compared_rows(count: int, most: int | None) -> list[int]:
    """Return the rows of the real texts that are compared, spread evenly."""
    if most is None or count <= most:
        return list(range(count))
    return [row * count // most for row in range(most)]


def _compare_with_original(
    artifact: Artifact, converted: Converted, texts: Sequence[str], real: int
) -> Comparison:
    """Compare with the original, or if it did not come with the file, answers in batches with single ones."""
    name = ORIGINAL if converted.has_original else "its own answers to single texts"
    try:
        expected = converted.original(texts)
    except ClassifierError:
        raise
    except Exception as error:  # a foreign model can raise anything
        why = shortened(str(error), MAX_SHOWN_CHARACTERS)  # It can have all of the texts.
        raise UnsupportedModel(f"{name} cannot score the texts: {why}") from error
    return compare(artifact, expected, texts, converted.tolerance, name, real)


def _compare_with_expected(artifact: Artifact, converted: Converted, expected: Expected) -> Comparison:
    name = f"the probabilities of {expected.name}"
    tolerance = max(EXPECTED_TOLERANCE, converted.tolerance)
    texts = expected.texts
    return compare(artifact, expected.probabilities, texts, tolerance, name, len(texts))


def _metrics(comparisons: Sequence[Comparison]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for one in comparisons:
        prefix = "import" if one.compared_with == ORIGINAL else "import_expected"
        metrics[f"{prefix}_largest_difference"] = one.largest
        metrics[f"{prefix}_checked_texts"] = float(one.texts)
    return metrics


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


def _convert_folder(source: Path, options: ImportOptions) -> Converted:
    from training_import.conversion.from_transformers import convert_transformer

    return convert_transformer(source, options)


def _convert_keras_file(source: Path, options: ImportOptions) -> Converted:
    from training_import.conversion.from_keras import convert_keras, load_keras, read_word_index
    from training_import.conversion.text_vectorization import vectorization_layer

    model = load_keras(source)
    if options.vectorizer is not None:
        return convert_keras(_with_vectorizer(Package(model), options), options)
    splits_texts = vectorization_layer(model) is not None and options.word_index is None
    tokenizer = None if splits_texts else read_word_index(source, options.word_index, model)
    return convert_keras(Package(model, tokenizer), options)


def _convert_skops_file(source: Path, options: ImportOptions) -> Converted:
    return _convert_package(read_skops(source, options), options)


def _convert_pickle(source: Path, options: ImportOptions) -> Converted:
    return _convert_package(read_pickle(source, options), options)


def _with_vectorizer(package: Package, options: ImportOptions) -> Package:
    """Return the package with the vectorizer or tokenizer that is in a file of its own."""
    path = options.vectorizer
    if path is None:
        return package
    if package.tokenizer is not None:
        raise UnsupportedModel(f"{path}: the file of the model has a vectorizer or tokenizer already")
    kind = source_kind(path)
    if kind not in {"pickle", "skops"}:
        raise UnsupportedModel(
            f"{path} is {_SOURCES[kind].name}; a vectorizer is in a pickle or a skops file"
        )
    part = (read_pickle if kind == "pickle" else read_skops)(path, options)
    return replace(
        package,
        tokenizer=part.model,
        sklearn_versions=tuple(sorted({*package.sklearn_versions, *part.sklearn_versions})),
        notes=(*package.notes, *(note for note in part.notes if note not in package.notes)),
    )


def _convert_package(package: Package, options: ImportOptions) -> Converted:
    package = _with_vectorizer(package, options)
    if _is_keras(package.model):
        from training_import.conversion.from_keras import convert_keras

        converted = convert_keras(package, options)
    else:
        from training_import.conversion.from_sklearn import convert_sklearn
        from training_import.conversion.searches import open_searches

        converted = convert_sklearn(open_searches(package), options)
    return replace(converted, unused=package.unused)


@dataclass(frozen=True)
class _Source:
    """A kind of file that a foreign model can be in."""

    name: str
    convert: Callable[[Path, ImportOptions], Converted]
    takes_word_index: bool = False
    takes_tokenizer: bool = False
    takes_vectorizer: bool = True
    takes_cleaning: bool = True
    takes_quantize: bool = False

    def check(self, source: Path, options: ImportOptions) -> None:
        """Raise UnsupportedModel for an option that would have no effect."""
        if options.word_index is not None and not self.takes_word_index:
            raise UnsupportedModel(f"{source}: a word index goes with a Keras file only; this is {self.name}")
        if options.tokenizer is not None and not self.takes_tokenizer:
            raise UnsupportedModel(
                f"{source}: a tokenizer description goes with an ONNX file only; this is {self.name}"
            )
        if options.vectorizer is not None and not self.takes_vectorizer:
            raise UnsupportedModel(f"{source} is {self.name}, which a vectorizer does not go with")
        if options.vectorizer is not None and options.word_index is not None:
            raise UnsupportedModel(
                f"{source}: a word index and a vectorizer are given; only one has an effect"
            )
        if options.quantize is not None and not self.takes_quantize:
            raise UnsupportedModel(f"{source}: only a transformer can be quantized; this is {self.name}")
        if not self.takes_cleaning and (options.cleans or options.max_tokens is not None):
            raise UnsupportedModel(
                f"{source}: for an ONNX file, cleaning and max_tokens belong in the `text` of the "
                "tokenizer's description"
            )


_SOURCES: Mapping[SourceKind, _Source] = MappingProxyType(
    {
        "keras": _Source("a Keras file", _convert_keras_file, takes_word_index=True),
        "skops": _Source("a skops file", _convert_skops_file),
        "pickle": _Source("a pickle", _convert_pickle),
        "onnx": _Source(
            "an ONNX file",
            _convert_onnx_file,
            takes_tokenizer=True,
            takes_vectorizer=False,
            takes_cleaning=False,
        ),
        "transformer": _Source(
            "a folder of Hugging Face", _convert_folder, takes_vectorizer=False, takes_quantize=True
        ),
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


def _model_card(source: Path, converted: Converted, imported: Imported, check: Comparison) -> str:
    manifest = imported.artifact.manifest
    notes = (
        *imported.notes,
        *([f"Not used from the package: {', '.join(imported.unused)}."] if imported.unused else []),
        "Its training data and accuracy are not known; "
        "`text-classifier evaluate` measures its accuracy on your data.",
        *(
            ["Its probabilities are those of the original: the import did not calibrate them."]
            if manifest.calibration.method == "none"
            else []
        ),
    )
    return (
        f"# {manifest.name}\n\n"
        f"A text classifier (kind *{manifest.model.kind}*) for {_say_labels(manifest)} "
        f"({imported.labels.source}).\n\n"
        f"Imported from {source.name} ({_say_digests(converted.files or (source,))}): "
        f"{converted.description}.\n\n"
        f"## Check\n\n{_say_check(converted, imported, check)}\n\n"
        "## Notes\n\n" + "".join(f"- {note}\n" for note in notes)
    )


def _say_labels(manifest: Manifest) -> str:
    kind = "labels, of which a text can have several" if manifest.has_several_labels else "classes"
    return f"{len(manifest.labels)} {kind}: {', '.join(manifest.labels)}"


def _say_digests(files: Sequence[Path]) -> str:
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    if len(files) == 1:
        return f"SHA-256 {digests[0]}"
    return "; ".join(f"SHA-256 of {path.name} {digest}" for path, digest in zip(files, digests, strict=True))


def _say_check(converted: Converted, imported: Imported, check: Comparison) -> str:
    """Say what the import compared, and what it did not."""
    sentences = [
        f"Compared with {one.compared_with}, on {_say_texts(one)}: no probability differs by more than "
        f"{one.largest:.3g}; up to {one.tolerance:g} is allowed."
        for one in imported.comparisons
    ]
    if not converted.has_original:
        sentences.append(
            f"Its answers to single texts are those that it gives in batches, on {_say_texts(check)}; a "
            f"difference of {check.tolerance:g} is allowed. This does not compare it with the original."
        )
    return "\n\n".join(sentences)


def _say_texts(comparison: Comparison) -> str:
    if comparison.real == comparison.texts:
        return f"{comparison.texts} texts"
    return f"{comparison.texts} texts, {comparison.real} of them real and the others made from its vocabulary"
