"""A third kind of model needs only one class and one entry in the table to work everywhere."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import tiny_artifact, with_golden

from classifier.artifact import Artifact, read_artifact, write_artifact
from classifier.errors import ArtifactError
from classifier.explain.explain import explain_text
from classifier.pipeline import Classifier, load_classifier
from classifier.runtimes import RUNTIMES
from classifier.runtimes.runtime import TEXT_COST, RuntimeSettings, Scored, Scores, Terms, bytes_cost
from classifier.text import TextSettings
from image.bento import BuildError, lock_file

KINDS = "'linear', 'ensemble', 'onnx', 'transformer', 'constant'"
LABELS = ("joy", "fear", "anger")


class ConstantSettings(RuntimeSettings):
    kind: Literal["constant"] = "constant"
    rows: int


@dataclass(frozen=True)
class ConstantBatch:
    row_numbers: NDArray[np.int64]
    known: NDArray[np.int64]
    unknown: NDArray[np.int64]
    cut: NDArray[np.bool_]


class ConstantRuntime:
    """A table of constants: the length of a text selects the row of scores. It needs no vocabulary."""

    settings_type = ConstantSettings
    max_bytes: Mapping[str, int] = {"constants.json": 1000}
    lock_file = "requirements/constant.txt"
    gpu_lock_file = None
    releases_gil = True
    device = "abacus"
    golden_tolerance = 1e-8

    @classmethod
    def check(cls, settings: ConstantSettings, labels: Sequence[str], text: TextSettings) -> None:
        if settings.rows < 1:
            raise ValueError(f"model.rows is {settings.rows}; at least 1 is needed")

    @classmethod
    def load(
        cls,
        settings: ConstantSettings,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        classes: int,
        threads: int = 0,
    ) -> Self:
        table = np.array(json.loads(weights["constants.json"]), np.float64)
        if table.shape != (settings.rows, classes):
            raise ArtifactError(f"constants.json has shape {table.shape}")
        return cls(table, text.max_tokens)

    def __init__(self, table: Scores, max_characters: int) -> None:
        self._table = table
        self._max_characters = max_characters

    def cost(self, _text: str) -> int:
        return 1

    def encode(self, texts: Sequence[str]) -> ConstantBatch:
        lengths = np.array([len(text) for text in texts], np.int64)
        nothing = np.zeros(len(texts), np.int64)
        return ConstantBatch(lengths % len(self._table), lengths, nothing, lengths > self._max_characters)

    def score(self, batch: ConstantBatch) -> Scored:
        return Scored(self._table[batch.row_numbers], np.zeros(len(batch.row_numbers), bool))

    def places(self, text: str) -> NDArray[np.int64]:
        characters = np.arange(min(len(text), self._max_characters))
        return np.stack([characters, characters + 1], axis=1)

    @classmethod
    def strongest(cls, *_parts: object, **_options: object) -> None:
        return None

    def contributions(self, _text: str, _batch: ConstantBatch, _row: int) -> Terms | None:
        return None

    def describe(self) -> str:
        return "it is looked up in a table"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "constant", ConstantRuntime)


def constant_artifact(rows: int = 2, table: Sequence[Sequence[float]] = ((0, 1, 2), (2, 0, 1))) -> Artifact:
    artifact = tiny_artifact(LABELS, model=ConstantSettings(rows=rows))
    return replace(artifact, weights={"constants.json": json.dumps(table).encode()})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(with_golden(constant_artifact()), tmp_path)
    return tmp_path


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "artifact.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_its_artifact_has_its_own_weight_file_and_the_files_digest(folder: Path) -> None:
    assert (folder / "constants.json").exists()
    assert not (folder / "weights.npz").exists()
    assert set(read_artifact(folder).manifest.files) == {
        "MODEL_CARD.md",
        "constants.json",
        "golden.jsonl",
        "vocabulary.json",
    }


def test_reading_its_artifact_gives_what_was_written(folder: Path) -> None:
    artifact = read_artifact(folder)
    assert artifact.manifest.model == ConstantSettings(rows=2)
    assert artifact.weights == constant_artifact().weights


def test_writing_what_was_read_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_artifact(read_artifact(folder), tmp_path / "again")
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_it_loads_and_its_golden_cases_are_checked(folder: Path) -> None:
    classifier = load_classifier(folder)
    assert (classifier.device, classifier.releases_gil) == ("abacus", True)
    with pytest.raises(ArtifactError, match=r"golden\.jsonl line 1"):
        Classifier(constant_artifact(table=[[5, 1, 2], [2, 0, 9]])).check_golden(read_artifact(folder).golden)


def test_it_predicts_with_warnings(folder: Path) -> None:
    even, odd, long = load_classifier(folder).predict(["ab", "a", "abcdefghijklmn"])
    assert [even.label, odd.label, long.label] == ["anger", "joy", "anger"]
    assert [even.warnings, odd.warnings] == [(), ()]
    assert long.warnings == ("cut: only the first 8 tokens of the text were read",)


def test_its_unit_of_cost_and_its_description_are_its_own(folder: Path) -> None:
    classifier = load_classifier(folder)
    assert classifier.cost("any text") == 1
    assert classifier.describe() == "it is looked up in a table"


def test_its_scores_are_explained_by_occlusion(folder: Path) -> None:
    explanation = explain_text(load_classifier(folder), "ab")
    assert (explanation.label, explanation.method, explanation.unit) == ("anger", "occlusion", "word")
    assert (explanation.score, explanation.bias) == (1.5, 1.5)
    assert [word.place for word in explanation.words] == [(0, 1), (1, 2)]


def test_its_rules_for_the_manifest_are_checked(folder: Path) -> None:
    edit_manifest(folder, model={"kind": "constant", "rows": 0})
    with pytest.raises(ArtifactError, match="rows is 0; at least 1 is needed"):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kind": "constant"}, "model.rows: Field required"),
        ({"kind": "constant", "rows": 2, "columns": 3}, "model.columns: Extra inputs are not permitted"),
        ({"kind": "konstant"}, f"kind is 'konstant'; the kinds of model are {KINDS}"),
        ({}, "kind is None; the kinds of model are"),
        (["constant"], "kind is None; the kinds of model are"),
        ({"kind": ["constant"]}, "the kinds of model are"),
    ],
)
def test_settings_that_are_not_its_own_are_refused_by_name(folder: Path, model: Any, message: str) -> None:
    edit_manifest(folder, model=model)
    with pytest.raises(ArtifactError) as refused:
        read_artifact(folder)
    assert message in str(refused.value)


def test_weight_files_of_another_kind_are_not_written(tmp_path: Path) -> None:
    artifact = replace(constant_artifact(), weights={"weights.npz": b""})
    with pytest.raises(ArtifactError, match=r"are weights\.npz; .* 'constant' has constants\.json"):
        write_artifact(artifact, tmp_path)


def test_its_weight_file_is_bounded(folder: Path) -> None:
    (folder / "constants.json").write_bytes(b" " * 1001)
    with pytest.raises(ArtifactError, match=r"constants\.json has 1001 bytes; at most 1000 are allowed"):
        read_artifact(folder)


def test_a_file_of_another_kind_is_refused(folder: Path) -> None:
    files = read_artifact(folder).manifest.files
    edit_manifest(folder, files={**files, "weights.npz": "0" * 64})
    with pytest.raises(ArtifactError, match=r"files names 'weights\.npz'.*kind 'constant' are .*constants"):
        read_artifact(folder)


def test_its_bento_uses_its_lock_file(project: Path) -> None:
    assert lock_file("constant", gpu=False) == project / "requirements" / "constant.txt"


@pytest.mark.parametrize(
    ("kind", "gpu", "lock"),
    [
        ("linear", False, "serve.txt"),
        ("onnx", False, "network.txt"),
        ("onnx", True, "gpu.txt"),
    ],
)
def test_each_bento_uses_the_lock_file_of_its_kind(project: Path, kind: str, gpu: bool, lock: str) -> None:
    found = lock_file(kind, gpu)
    assert found == project / "requirements" / lock
    assert found.exists()


@pytest.mark.parametrize("kind", ["linear", "constant"])
def test_a_kind_without_a_lock_file_for_gpus_is_refused(kind: str) -> None:
    with pytest.raises(BuildError, match=f"the model is {kind}, and only networks .onnx, transformer. can"):
        lock_file(kind, gpu=True)


@given(st.text(st.characters()))
def test_the_cost_of_a_text_is_its_utf8_bytes_plus_a_constant(text: str) -> None:
    assert bytes_cost(text) == TEXT_COST + len(text.encode("utf-8", "surrogatepass"))
