"""The model package on disk: one folder of data, described by its `artifact.json`."""

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from classifier.drift.reference import Reference
from classifier.errors import ArtifactError
from classifier.runtimes import RuntimeSettings, runtime_of
from classifier.schema import TAG_PATTERN, Probability
from classifier.text import TextSettings
from classifier.validation import first_error

FORMAT_VERSION = 1
MANIFEST = "artifact.json"
VOCABULARY = "vocabulary.json"
GOLDEN = "golden.jsonl"
MODEL_CARD = "MODEL_CARD.md"
DEFAULT_THRESHOLD = 0.5
MIN_GOLDEN_CASES = 20
MAX_GOLDEN_CASES = 1000
"""All of them are run at every start."""

_MEBIBYTE = 2**20
MAX_MANIFEST_BYTES = 16 * _MEBIBYTE
MAX_BYTES: Mapping[str, int] = MappingProxyType(
    {VOCABULARY: 64 * _MEBIBYTE, GOLDEN: 64 * _MEBIBYTE, MODEL_CARD: _MEBIBYTE}
)
"""The files that every artifact has besides its manifest, with the largest size of each in bytes."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibration(_Part):
    """How scores become probabilities: activation(scale * scores + bias).

    "temperature" has only a scale (Guo et al., 2017); "platt" also has a bias for the second of two classes
    (Platt, 1999), or for each label of a model that gives a text several.

    With "softmax" and "one-vs-rest", which is a sigmoid of each score divided by the sum of all, the
    probabilities of a text sum to 1. With "sigmoid" they do not: each label is predicted by itself, and a
    text can have several of them or none.
    """

    method: Literal["none", "temperature", "platt"] = "none"
    activation: Literal["softmax", "one-vs-rest", "sigmoid"] = "softmax"
    scale: FiniteFloat = Field(default=1.0, gt=0)
    bias: tuple[FiniteFloat, ...] | None = None


class TrainingData(_Part):
    """The data that the model was trained on."""

    name: str
    sha256: str
    rows: int


class Quantization(_Part):
    """How much storing the weights in a smaller type changed the model's answers."""

    dtype: str
    largest_difference: float
    """The largest change of a probability over the held-out texts, or over those that an import compared."""
    accuracy_cost: float | None
    """The accuracy lost on these texts; negative if accuracy was gained, None if labels are not known."""
    agreement: float | None = Field(default=None, exclude_if=lambda share: share is None)
    """The share of these texts that kept their label, if an import made the weights smaller."""


class Manifest(_Part):
    """The content of `artifact.json`."""

    format_version: int
    name: str = Field(pattern=TAG_PATTERN)
    labels: tuple[str, ...] = Field(min_length=2)
    text: TextSettings
    model: SerializeAsAny[RuntimeSettings]
    """The settings of the runtime that the field `kind` names."""
    threshold: float = Field(default=DEFAULT_THRESHOLD, ge=0, le=1)
    """For two classes: the second is predicted from this probability on."""
    thresholds: tuple[Probability, ...] | None = Field(default=None, exclude_if=lambda value: value is None)
    """If a text can have several labels: the probability from which on it has each of them, in the order of
    the labels; None is 0.5 for all."""
    calibration: Calibration = Calibration()
    trained_on: TrainingData | None
    short_trained_on: tuple[TrainingData, ...] = ()
    """The data sets of short texts that the model was trained on as well."""
    seed: int | None
    versions: dict[str, str]
    metrics: dict[str, float]
    quantization: Quantization | None = None
    reference: Reference | None = None
    """What texts that the model was not trained on look like; None if there were too few of them."""
    files: dict[str, str] = {}
    """The SHA-256 of every other file."""

    @property
    def has_several_labels(self) -> bool:
        """Whether a text can have several labels, or none."""
        return self.calibration.activation == "sigmoid"

    @property
    def label_thresholds(self) -> tuple[float, ...]:
        """The probability from which on a text has each label, if it can have several."""
        return self.thresholds or (DEFAULT_THRESHOLD,) * len(self.labels)

    @property
    def max_bytes(self) -> Mapping[str, int]:
        """The files that an artifact of this kind has besides its manifest, with the largest size of each."""
        return {**MAX_BYTES, **runtime_of(self.model.kind).max_bytes}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        classes, bias, files = len(self.labels), self.calibration.bias, self.max_bytes
        for name in self.files:
            if name not in files:
                raise ValueError(
                    f"files names {name!r}; the other files of a model of kind {self.model.kind!r} are "
                    f"{', '.join(files)}"
                )
        if bias is not None and len(bias) != classes:
            raise ValueError(f"calibration.bias has {len(bias)} values; there are {classes} labels")
        if self.thresholds is not None and not self.has_several_labels:
            raise ValueError(
                f"thresholds are for a model whose calibration.activation is 'sigmoid', not "
                f"{self.calibration.activation!r}"
            )
        if self.thresholds is not None and len(self.thresholds) != classes:
            raise ValueError(f"there are {len(self.thresholds)} thresholds; there are {classes} labels")
        runtime_of(self.model.kind).check(self.model, self.labels, self.text)
        if self.reference is not None:
            self.reference.label.check_classes(classes)
        return self

    @field_validator("model", mode="wrap")
    @classmethod
    def _of_a_known_kind(cls, model: object, _: object) -> RuntimeSettings:
        kind = getattr(model, "kind", None) or (model.get("kind") if isinstance(model, Mapping) else None)
        return runtime_of(kind).settings_type.model_validate(model)

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError(f"labels {labels} are not distinct")
        return labels

    @field_validator("format_version")
    @classmethod
    def _readable(cls, version: int) -> int:
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version is {version}; this release reads {FORMAT_VERSION}")
        return version


class GoldenCase(_Part):
    """A text with the probabilities that the model gave when the artifact was made."""

    text: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Artifact:
    """The content of an artifact."""

    manifest: Manifest
    vocabulary: tuple[str | None, ...]
    """The tokens by their ids; None for an id that no token has."""
    weights: Mapping[str, bytes]
    """The content of each weight file, by its name; the runtime reads it."""
    golden: tuple[GoldenCase, ...] = ()
    model_card: str = ""
    digest: str = ""
    """The SHA-256 of `artifact.json`, which holds those of all other files; empty if it was never written."""

    @property
    def version(self) -> str:
        """The artifact's version in the store: the same artifact always has the same version."""
        return version_of(self.digest)


def version_of(digest: str) -> str:
    """The version that an artifact with this digest has in the store."""
    return digest[:12]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_artifact(artifact: Artifact, folder: Path) -> Manifest:
    """Write an artifact into a folder, which is made if it does not exist.

    Returns the manifest with the digests of the files. The same content gives the same bytes. Raises
    ArtifactError if the weight files are not those of the kind of model.
    """
    expected = runtime_of(artifact.manifest.model.kind).max_bytes
    if artifact.weights.keys() != expected.keys():
        raise ArtifactError(
            f"the weight files are {', '.join(artifact.weights) or 'none'}; a model of kind "
            f"{artifact.manifest.model.kind!r} has {', '.join(expected)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    golden = "".join(case.model_dump_json() + "\n" for case in artifact.golden)
    contents = {
        VOCABULARY: json.dumps(artifact.vocabulary, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        ),
        GOLDEN: golden.encode(),
        MODEL_CARD: artifact.model_card.encode(),
        **artifact.weights,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    manifest = artifact.manifest.model_copy(
        update={"files": {name: _sha256(content) for name, content in sorted(contents.items())}}
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def _read(folder: Path, name: str, max_bytes: int) -> bytes:
    path = folder / name
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{path} is not a file")
        if status.st_size > max_bytes:
            raise ArtifactError(f"{path} has {status.st_size} bytes; at most {max_bytes} are allowed")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def read_manifest(folder: Path) -> Manifest:
    """Read only the manifest of an artifact; raises ArtifactError, which names the file and what is wrong."""
    return _manifest(folder, _read(folder, MANIFEST, MAX_MANIFEST_BYTES))


def _manifest(folder: Path, content: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactError(
            f"{folder / MANIFEST} is not an artifact's manifest: {first_error(error)}"
        ) from error


def digest_of(folder: Path) -> str:
    """Return the digest of an artifact, for which only its manifest is read; raises ArtifactError."""
    return _sha256(_read(folder, MANIFEST, MAX_MANIFEST_BYTES))


def holds(folder: Path, digest: str) -> bool:
    """Return whether a folder has every file of the artifact with this digest, unchanged."""
    try:
        content = _read(folder, MANIFEST, MAX_MANIFEST_BYTES)
        if _sha256(content) != digest:
            return False
        manifest = _manifest(folder, content)
        return all(
            _sha256(_read(folder, name, manifest.max_bytes[name])) == digest
            for name, digest in manifest.files.items()
        )
    except ArtifactError:
        return False


def read_artifact(folder: Path) -> Artifact:
    """Read an artifact and check its format and digests; the weights are read by the runtime that loads them.

    Raises ArtifactError, which names the file and what is wrong. Nothing in an artifact is run or unpickled.
    """
    content = _read(folder, MANIFEST, MAX_MANIFEST_BYTES)
    manifest = _manifest(folder, content)
    contents: dict[str, bytes] = {}
    for name, max_bytes in manifest.max_bytes.items():
        if name not in manifest.files:
            raise ArtifactError(f"{folder / MANIFEST} lists no digest of {name}")
        contents[name] = _read(folder, name, max_bytes)
        if (digest := _sha256(contents[name])) != manifest.files[name]:
            raise ArtifactError(
                f"{folder / name} is not the file that the artifact was made with: its SHA-256 is {digest}, "
                f"{MANIFEST} says {manifest.files[name]}"
            )
    try:
        vocabulary = TypeAdapter(tuple[str | None, ...]).validate_python(
            json.loads(contents[VOCABULARY].decode("utf-8", "surrogatepass"))
        )
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder / VOCABULARY} is not a JSON array of tokens: {error}") from error
    try:
        golden = tuple(GoldenCase.model_validate_json(line) for line in contents[GOLDEN].splitlines())
    except ValidationError as error:
        raise ArtifactError(f"{folder / GOLDEN}: {first_error(error)}") from error
    if len(golden) < MIN_GOLDEN_CASES:
        raise ArtifactError(
            f"{folder / GOLDEN} has {len(golden)} cases; at least {MIN_GOLDEN_CASES} are needed"
        )
    if len(golden) > MAX_GOLDEN_CASES:
        raise ArtifactError(
            f"{folder / GOLDEN} has {len(golden)} cases; at most {MAX_GOLDEN_CASES} are allowed"
        )
    return Artifact(
        manifest=manifest,
        vocabulary=vocabulary,
        weights={name: content for name, content in contents.items() if name not in MAX_BYTES},
        golden=golden,
        model_card=contents[MODEL_CARD].decode("utf-8", "replace"),
        digest=_sha256(content),
    )
