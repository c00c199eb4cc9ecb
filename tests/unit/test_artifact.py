"""The model package on disk."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import BINARY_LABELS, FOUR_LABELS, tiny_artifact, with_golden, write_tiny

from classifier.artifact import Artifact, Calibration, GoldenCase, Quantization, read_artifact, write_artifact
from classifier.errors import ArtifactError
from classifier.pipeline import load_classifier
from classifier.runtime import OnnxSettings

FILES = ("MODEL_CARD.md", "golden.jsonl", "vocabulary.json", "weights.npz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete tiny artifact."""
    return write_tiny(tmp_path / "tiny")


def _edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "artifact.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def _put(folder: Path, name: str, content: bytes) -> None:
    """Replace a file, with a digest that fits."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    _edit_manifest(folder, lambda manifest: manifest["files"].update({name: digest}))


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _onnx_artifact() -> Artifact:
    """An artifact around bytes that stand for a network; reading it does not run them."""
    settings = OnnxSettings(first_id=2, unknown_id=1, pad_to=8, output="logits")
    cases = tuple(GoldenCase(text=f"text {i}", probabilities=(0.5, 0.5)) for i in range(20))
    return replace(tiny_artifact(model=settings), arrays={}, network=b"some network", golden=cases)


def _assert_refused(folder: Path, message: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(message)):
        read_artifact(folder)


# Writing, then reading


@pytest.mark.parametrize("labels", [BINARY_LABELS, FOUR_LABELS], ids=["2 classes", "4 classes"])
def test_reading_gives_the_manifest_that_was_written(tmp_path: Path, labels: tuple[str, ...]) -> None:
    artifact = with_golden(
        tiny_artifact(
            labels,
            threshold=0.25,
            calibration=Calibration(method="platt", scale=2.0, bias=(0.0,) * len(labels)),
            quantization=Quantization(dtype="float16", largest_difference=0.001, accuracy_cost=-0.0001),
        )
    )
    written = write_artifact(artifact, tmp_path)
    assert read_artifact(tmp_path).manifest == written


def test_the_manifest_that_was_written_adds_the_digests_alone(tmp_path: Path) -> None:
    artifact = tiny_artifact()
    written = write_artifact(artifact, tmp_path)
    assert written.model_copy(update={"files": {}}) == artifact.manifest


def test_the_manifest_lists_the_digest_of_every_other_file(folder: Path) -> None:
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "artifact.json"
    }
    assert read_artifact(folder).manifest.files == digests


def test_the_files_are_those_that_the_format_knows(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*FILES, "artifact.json"}


def test_reading_gives_the_arrays_that_were_written(tmp_path: Path) -> None:
    artifact = with_golden(tiny_artifact())
    write_artifact(artifact, tmp_path)
    arrays = read_artifact(tmp_path).arrays
    assert {name: (array.dtype, array.tolist()) for name, array in arrays.items()} == {
        name: (array.dtype, array.tolist()) for name, array in artifact.arrays.items()
    }


def test_reading_gives_the_golden_cases_that_were_written(tmp_path: Path) -> None:
    artifact = with_golden(tiny_artifact())
    write_artifact(artifact, tmp_path)
    assert read_artifact(tmp_path).golden == artifact.golden


def test_reading_gives_the_model_card_that_was_written(tmp_path: Path) -> None:
    write_artifact(replace(with_golden(tiny_artifact()), model_card="# Über\n"), tmp_path)
    assert read_artifact(tmp_path).model_card == "# Über\n"


def test_reading_gives_the_vocabulary_that_was_written(tmp_path: Path) -> None:
    vocabulary = ("café", None, "\ud800", 'quo"te', "\u2028", "\x00")
    write_artifact(replace(with_golden(tiny_artifact()), vocabulary=vocabulary), tmp_path)
    assert read_artifact(tmp_path).vocabulary == vocabulary


def test_reading_gives_the_network_that_was_written(tmp_path: Path) -> None:
    write_artifact(_onnx_artifact(), tmp_path)
    assert read_artifact(tmp_path).network == b"some network"


def test_a_golden_text_with_line_separators_stays_one_case(tmp_path: Path) -> None:
    case = GoldenCase(text="a\nb\r\nc\u2028d\x85e\x0bf", probabilities=(0.5, 0.5))
    write_artifact(replace(tiny_artifact(), golden=(case,) * 20), tmp_path)
    assert read_artifact(tmp_path).golden == (case,) * 20


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write_tiny(tmp_path / "first"), write_tiny(tmp_path / "second")
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }


def test_writing_what_was_read_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_artifact(read_artifact(folder), tmp_path / "again")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()
    }


def test_the_digest_is_that_of_the_manifest(folder: Path) -> None:
    content = (folder / "artifact.json").read_bytes()
    assert read_artifact(folder).digest == hashlib.sha256(content).hexdigest()


def test_other_weights_give_another_digest(tmp_path: Path) -> None:
    artifact = with_golden(tiny_artifact())
    other = replace(artifact, arrays=dict(artifact.arrays) | {"intercept": np.array([1e-9])})
    digests = []
    for name, content in (("first", artifact), ("second", other)):
        write_artifact(content, tmp_path / name)
        digests.append(read_artifact(tmp_path / name).digest)
    assert digests[0] != digests[1]


# What is refused, by the name of the file


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    _assert_refused(tmp_path / "none", f"{tmp_path / 'none' / 'artifact.json'} cannot be read")


@pytest.mark.parametrize("name", [*FILES, "artifact.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    _assert_refused(folder, f"{folder / name} cannot be read: No such file")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    _assert_refused(folder, f"{folder / name} is not the file that the artifact was made with")


def test_a_changed_byte_of_a_network_is_named(tmp_path: Path) -> None:
    write_artifact(_onnx_artifact(), tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"same network")
    _assert_refused(tmp_path, f"{tmp_path / 'model.onnx'} is not the file")


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_a_digest_is_named(folder: Path, name: str) -> None:
    _edit_manifest(folder, lambda manifest: manifest["files"].pop(name))
    _assert_refused(folder, f"{folder / 'artifact.json'} lists no digest of {name}")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"name: tiny"])
def test_a_manifest_that_is_not_a_json_object_is_named(folder: Path, content: bytes) -> None:
    (folder / "artifact.json").write_bytes(content)
    _assert_refused(folder, f"{folder / 'artifact.json'} is not an artifact's manifest")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"format_version": 2}, "format_version is 2; this release reads 1"),
        ({"format_version": 2, "invented_later": 1}, "format_version is 2; this release reads 1"),
        ({"invented": 1}, "invented: Extra inputs are not permitted"),
        ({"labels": ["only"]}, "labels: "),
        ({"labels": ["same", "same"]}, "labels ('same', 'same') are not distinct"),
        ({"threshold": 1.5}, "threshold: "),
        ({"model": {"kind": "pickle"}}, "model: "),
        ({"text": {"max_tokens": 8, "token_pattern": "("}}, "token_pattern '(' is not a regular expression"),
        ({"text": {"max_tokens": 0}}, "text.max_tokens: "),
        ({"calibration": {"scale": 0}}, "calibration.scale: "),
    ],
)
def test_a_manifest_that_breaks_a_rule_names_it(folder: Path, edit: dict[str, Any], message: str) -> None:
    _edit_manifest(folder, lambda manifest: manifest.update(edit))
    with pytest.raises(
        ArtifactError, match=re.escape(f"{folder / 'artifact.json'} is not an artifact's")
    ) as e:
        read_artifact(folder)
    assert message in str(e.value)


@pytest.mark.parametrize(
    "name", ["../../PWNED.txt", "/etc/passwd", "notes.txt", "model.yaml", "", "a/weights.npz", "model.onnx"]
)
def test_a_manifest_that_lists_another_file_than_those_of_the_format_is_refused(
    folder: Path, name: str
) -> None:
    _edit_manifest(folder, lambda manifest: manifest["files"].update({name: "0" * 64}))
    _assert_refused(folder, f"files names {name!r}; the other files of a model of kind 'linear' are ")


@pytest.mark.parametrize("name", ["../tiny", "a/b", "", "tiny:1", "-tiny", "t" * 64, "Tiny", "tiny\n"])
def test_a_name_that_no_model_of_the_store_can_have_is_refused(folder: Path, name: str) -> None:
    _edit_manifest(folder, lambda manifest: manifest.update(name=name))
    _assert_refused(folder, f"{folder / 'artifact.json'} is not an artifact's manifest: name: ")


def test_a_manifest_without_a_required_field_names_it(folder: Path) -> None:
    _edit_manifest(folder, lambda manifest: manifest.pop("labels"))
    _assert_refused(folder, "labels: Field required")


@pytest.mark.parametrize("content", [b"", b"[", b'{"good": 0}', b'"good"', b"[1]", b"null", b"\xff"])
def test_a_vocabulary_that_is_no_array_of_tokens_is_named(folder: Path, content: bytes) -> None:
    _put(folder, "vocabulary.json", content)
    _assert_refused(folder, f"{folder / 'vocabulary.json'} is not a JSON array of tokens")


@pytest.mark.parametrize("line", [b"{", b'{"text": "a"}', b"\xff", b"", b'{"text": 1, "probabilities": []}'])
def test_golden_cases_of_another_form_are_named(folder: Path, line: bytes) -> None:
    _put(folder, "golden.jsonl", (folder / "golden.jsonl").read_bytes() + line + b"\n")
    _assert_refused(folder, f"{folder / 'golden.jsonl'}: ")


def test_nineteen_golden_cases_are_too_few(folder: Path) -> None:
    lines = (folder / "golden.jsonl").read_bytes().splitlines(keepends=True)
    _put(folder, "golden.jsonl", b"".join(lines[:19]))
    _assert_refused(folder, f"{folder / 'golden.jsonl'} has 19 cases; at least 20 are needed")


def test_twenty_golden_cases_are_enough(folder: Path) -> None:
    lines = (folder / "golden.jsonl").read_bytes().splitlines(keepends=True)
    _put(folder, "golden.jsonl", b"".join(lines[:20]))
    assert len(read_artifact(folder).golden) == 20


class _Touches:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_an_array_of_objects_is_refused(folder: Path, tmp_path: Path) -> None:
    _put(folder, "weights.npz", _npz(weights=np.array([_Touches(tmp_path / "touched")], dtype=object)))
    _assert_refused(
        folder, f"{folder / 'weights.npz'} does not hold flat arrays: Object arrays cannot be loaded"
    )


def test_an_array_of_objects_is_never_unpickled(folder: Path, tmp_path: Path) -> None:
    _put(folder, "weights.npz", _npz(weights=np.array([_Touches(tmp_path / "touched")], dtype=object)))
    with pytest.raises(ArtifactError):
        read_artifact(folder)
    assert not (tmp_path / "touched").exists()


def _zip(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        b"\x80\x04N.",
        _npy(np.ones(3)),
        _zip("weights", b"raw bytes"),
        _zip("weights.npy", b""),
        _zip("weights.npy", _npy(np.ones(3))[:-1]),
    ],
    ids=["empty", "text", "pickle", "one array", "raw member", "empty member", "short member"],
)
def test_weights_that_are_no_archive_of_arrays_are_named(folder: Path, content: bytes) -> None:
    _put(folder, "weights.npz", content)
    _assert_refused(folder, f"{folder / 'weights.npz'} does not hold flat arrays")


@pytest.mark.parametrize("percent", [1, 10, 50, 90, 99])
def test_truncated_weights_with_a_fitting_digest_are_named(folder: Path, percent: int) -> None:
    content = (folder / "weights.npz").read_bytes()
    _put(folder, "weights.npz", content[: len(content) * percent // 100])
    _assert_refused(folder, f"{folder / 'weights.npz'} does not hold flat arrays")


def test_a_damaged_byte_with_a_fitting_digest_raises_nothing_but_artifact_errors(folder: Path) -> None:
    content = (folder / "weights.npz").read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        _put(folder, "weights.npz", bytes(damaged))
        try:
            read_artifact(folder)
        except ArtifactError as error:
            assert str(folder / "weights.npz") in str(error)  # noqa: PT017


# Loading, which runs the golden cases


@pytest.mark.parametrize("labels", [BINARY_LABELS, FOUR_LABELS], ids=["2 classes", "4 classes"])
def test_an_artifact_whose_golden_cases_hold_loads(tmp_path: Path, labels: tuple[str, ...]) -> None:
    assert load_classifier(write_tiny(tmp_path, labels)).labels == labels


def _with_first_case(folder: Path, probabilities: list[float]) -> None:
    first, *others = (folder / "golden.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    case = json.loads(first) | {"probabilities": probabilities}
    _put(folder, "golden.jsonl", "".join([json.dumps(case) + "\n", *others]).encode())


@pytest.mark.parametrize("probabilities", [[0.4998, 0.5002], [0.5], []], ids=str)
def test_a_golden_case_that_no_longer_holds_is_named(folder: Path, probabilities: list[float]) -> None:
    _with_first_case(folder, probabilities)  # "A simple sentence." has no word that weighs anything: 0.5
    with pytest.raises(ArtifactError, match=re.escape(f"{folder}: golden.jsonl line 1: ")):
        load_classifier(folder)


def test_a_golden_case_may_differ_in_the_last_digits(folder: Path) -> None:
    _with_first_case(folder, [0.49995, 0.50005])
    assert load_classifier(folder).labels == BINARY_LABELS


def test_weights_of_a_foreign_shape_are_named(folder: Path) -> None:
    with np.load(folder / "weights.npz") as arrays:
        changed = {**arrays, "weights": np.zeros((3, 1))}
    _put(folder, "weights.npz", _npz(**changed))
    with pytest.raises(ArtifactError, match=re.escape(f"{folder}: weights.npz: weights of shape (3, 1)")):
        load_classifier(folder)


def test_weights_that_are_no_numbers_are_refused_with_the_folder_s_name(folder: Path) -> None:
    with np.load(folder / "weights.npz") as arrays:
        changed = {**arrays, "intercept": np.array([np.nan])}
    _put(folder, "weights.npz", _npz(**changed))
    with pytest.raises(
        ArtifactError, match=re.escape(f"{folder}: the model gave a score that is not a finite")
    ):
        load_classifier(folder)


def test_a_network_that_is_none_is_named(tmp_path: Path) -> None:
    write_artifact(_onnx_artifact(), tmp_path)
    with pytest.raises(ArtifactError, match=re.escape(f"{tmp_path}: model.onnx cannot be loaded")):
        load_classifier(tmp_path)
