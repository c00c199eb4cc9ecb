"""The model package on disk: one folder of data, described by its `artifact.json`."""

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from classifier.arrays import read_arrays
from classifier.errors import ArtifactError
from classifier.runtime import LINEAR_ARRAYS, LinearSettings, OnnxSettings
from classifier.schema import TAG_PATTERN
from classifier.text import TextSettings

FORMAT_VERSION = 1
MANIFEST = "artifact.json"
WEIGHTS = "weights.npz"
NETWORK = "model.onnx"
VOCABULARY = "vocabulary.json"
GOLDEN = "golden.jsonl"
MODEL_CARD = "MODEL_CARD.md"
FEWEST_GOLDEN_CASES = 20
MOST_GOLDEN_CASES = 1000
"""Each is run at every start."""

_MEBIBYTE = 2**20
LARGEST_BYTES = {
    MANIFEST: 16 * _MEBIBYTE,
    WEIGHTS: 512 * _MEBIBYTE,
    NETWORK: 2048 * _MEBIBYTE - 1,  # as much as an ONNX model can have in one file
    VOCABULARY: 64 * _MEBIBYTE,
    GOLDEN: 64 * _MEBIBYTE,
    MODEL_CARD: _MEBIBYTE,
}
"""The largest size of each file that is read, in bytes."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibration(_Part):
    """How scores become probabilities: activation(scale * scores + bias).

    "temperature" has a scale alone (Guo et al., 2017); "platt" has a bias for the second of two classes, too
    (Platt, 1999).
    """

    method: Literal["none", "temperature", "platt"] = "none"
    activation: Literal["softmax", "one-vs-rest"] = "softmax"
    scale: FiniteFloat = Field(default=1.0, gt=0)
    bias: tuple[FiniteFloat, ...] | None = None


class TrainingData(_Part):
    """What the model learned from."""

    name: str
    sha256: str
    rows: int


class Quantization(_Part):
    """What smaller weights changed, against the weights as they were trained."""

    dtype: str
    largest_difference: float
    """Of a probability, over the held-out texts."""
    accuracy_cost: float
    """Accuracy lost on the held-out texts; negative where it gained."""


class Manifest(_Part):
    """`artifact.json`."""

    format_version: int
    name: str = Field(pattern=TAG_PATTERN)
    labels: tuple[str, ...] = Field(min_length=2)
    text: TextSettings
    model: Annotated[LinearSettings | OnnxSettings, Field(discriminator="kind")]
    threshold: float = Field(default=0.5, ge=0, le=1)
    """For two classes: the probability of the second from which it is predicted."""
    calibration: Calibration = Calibration()
    trained_on: TrainingData | None
    seed: int | None
    versions: dict[str, str]
    metrics: dict[str, float]
    quantization: Quantization | None = None
    files: dict[str, str] = {}
    """SHA-256 of every other file."""

    @property
    def other_files(self) -> tuple[str, ...]:
        """The names of the files that an artifact of this kind has beside its manifest."""
        return (VOCABULARY, GOLDEN, MODEL_CARD, WEIGHTS if self.model.kind == "linear" else NETWORK)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        model, classes, bias = self.model, len(self.labels), self.calibration.bias
        for name in self.files:
            if name not in (files := self.other_files):
                raise ValueError(
                    f"files names {name!r}; the other files of a model of kind {model.kind!r} are "
                    f"{', '.join(files)}"
                )
        if bias is not None and len(bias) != classes:
            raise ValueError(f"calibration.bias has {len(bias)} values; there are {classes} labels")
        if isinstance(model, OnnxSettings):
            if model.pad_to is not None and model.pad_to < self.text.max_tokens:
                raise ValueError(f"model.pad_to is {model.pad_to}; text.max_tokens is {self.text.max_tokens}")
            if (model.unknown_id is None) != (self.text.unknown == "drop"):
                raise ValueError(
                    f"model.unknown_id is {model.unknown_id}, but text.unknown is {self.text.unknown!r}; "
                    "an unknown token needs an id if, and only if, it is kept"
                )
            if model.output == "sigmoid" and classes != 2:
                raise ValueError(f"model.output is 'sigmoid', which is for two labels; there are {classes}")
        return self

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
    """An artifact's content. Either `arrays` (linear) or `network` (onnx) holds the weights."""

    manifest: Manifest
    vocabulary: tuple[str | None, ...]
    arrays: Mapping[str, NDArray[np.generic]]
    network: bytes
    golden: tuple[GoldenCase, ...] = ()
    model_card: str = ""
    digest: str = ""
    """SHA-256 of `artifact.json`, and so of everything."""

    @property
    def version(self) -> str:
        """Its version in the store: the same artifact always has the same."""
        return version_of(self.digest)


def version_of(digest: str) -> str:
    """The part of a digest that serves as a version."""
    return digest[:12]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_artifact(artifact: Artifact, folder: Path) -> Manifest:
    """Write an artifact into a folder, made if need be; returns the manifest with the files' digests.

    The same content gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    golden = "".join(case.model_dump_json() + "\n" for case in artifact.golden)
    contents = {
        VOCABULARY: json.dumps(artifact.vocabulary, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        ),
        GOLDEN: golden.encode(),
        MODEL_CARD: artifact.model_card.encode(),
    }
    if artifact.manifest.model.kind == "onnx":
        contents[NETWORK] = artifact.network
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    if artifact.manifest.model.kind == "linear":
        np.savez_compressed(folder / WEIGHTS, allow_pickle=False, **artifact.arrays)
        contents[WEIGHTS] = (folder / WEIGHTS).read_bytes()
    manifest = artifact.manifest.model_copy(
        update={"files": {name: _sha256(content) for name, content in sorted(contents.items())}}
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def _read(folder: Path, name: str) -> bytes:
    path, bound = folder / name, LARGEST_BYTES[name]
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{path} is not a file")
        if status.st_size > bound:
            raise ArtifactError(f"{path} has {status.st_size} bytes; at most {bound} are allowed")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def _first_error(error: ValidationError) -> str:
    broken = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, broken['loc'])) or 'content'}: {broken['msg']}"


def read_manifest(folder: Path) -> Manifest:
    """Read an artifact's manifest alone; raises ArtifactError, which names the file and what is wrong."""
    return _manifest(folder, _read(folder, MANIFEST))


def _manifest(folder: Path, content: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactError(
            f"{folder / MANIFEST} is not an artifact's manifest: {_first_error(error)}"
        ) from error


def digest_of(folder: Path) -> str:
    """The digest of an artifact by its manifest alone; raises ArtifactError."""
    return _sha256(_read(folder, MANIFEST))


def holds(folder: Path, digest: str) -> bool:
    """Whether a folder holds every file of the artifact with this digest, unchanged."""
    try:
        content = _read(folder, MANIFEST)
        if _sha256(content) != digest:
            return False
        files = _manifest(folder, content).files
        return all(_sha256(_read(folder, name)) == files[name] for name in files)
    except ArtifactError:
        return False


def read_artifact(folder: Path) -> Artifact:
    """Read an artifact and check its format and digests.

    Raises ArtifactError, which names the file and what is wrong. Nothing in it is ever run or unpickled.
    """
    content = _read(folder, MANIFEST)
    manifest = _manifest(folder, content)
    contents: dict[str, bytes] = {}
    for name in manifest.other_files:
        if name not in manifest.files:
            raise ArtifactError(f"{folder / MANIFEST} lists no digest of {name}")
        contents[name] = _read(folder, name)
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
    tokens = [token for token in vocabulary if token is not None]
    if len(set(tokens)) != len(tokens):
        raise ArtifactError(f"{folder / VOCABULARY} has a token twice")
    try:
        golden = tuple(GoldenCase.model_validate_json(line) for line in contents[GOLDEN].splitlines())
    except ValidationError as error:
        raise ArtifactError(f"{folder / GOLDEN}: {_first_error(error)}") from error
    if len(golden) < FEWEST_GOLDEN_CASES:
        raise ArtifactError(
            f"{folder / GOLDEN} has {len(golden)} cases; at least {FEWEST_GOLDEN_CASES} are needed"
        )
    if len(golden) > MOST_GOLDEN_CASES:
        raise ArtifactError(
            f"{folder / GOLDEN} has {len(golden)} cases; at most {MOST_GOLDEN_CASES} are allowed"
        )
    return Artifact(
        manifest=manifest,
        vocabulary=vocabulary,
        arrays=read_arrays(folder / WEIGHTS, contents[WEIGHTS], LINEAR_ARRAYS)
        if manifest.model.kind == "linear"
        else {},
        network=contents[NETWORK] if manifest.model.kind == "onnx" else b"",
        golden=golden,
        model_card=contents[MODEL_CARD].decode("utf-8", "replace"),
        digest=_sha256(content),
    )
