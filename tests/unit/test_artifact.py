"""Writing and reading the model package on disk."""

import hashlib
import io
import json
import os
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import BINARY_LABELS, FOUR_LABELS, tiny_artifact, with_golden, write_tiny

from classifier.artifact import (
    MAX_BYTES,
    MAX_MANIFEST_BYTES,
    Artifact,
    Calibration,
    GoldenCase,
    Quantization,
    read_artifact,
    write_artifact,
)
from classifier.errors import ArtifactError
from classifier.pipeline import load_classifier
from classifier.runtimes.linear import LinearRuntime, pack_arrays, unpack_arrays
from classifier.runtimes.network import NETWORK
from classifier.runtimes.onnx import OnnxSettings

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
    """Replace a file, and its digest in the manifest."""
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    _edit_manifest(folder, lambda manifest: manifest["files"].update({name: digest}))


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _onnx_artifact() -> Artifact:
    """An artifact with some bytes instead of a network; reading it does not run them."""
    settings = OnnxSettings(first_id=2, unknown_id=1, pad_to=8, output="logits")
    cases = tuple(GoldenCase(text=f"text {i}", probabilities=(0.5, 0.5)) for i in range(20))
    return replace(tiny_artifact(model=settings), weights={NETWORK: b"some network"}, golden=cases)


def _assert_not_loaded(folder: Path, message: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(message)):
        load_classifier(folder)


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


def test_the_written_manifest_adds_only_the_digests(tmp_path: Path) -> None:
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


def test_an_artifact_has_exactly_the_files_of_the_format(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*FILES, "artifact.json"}


def test_reading_gives_the_arrays_that_were_written(tmp_path: Path) -> None:
    artifact = with_golden(tiny_artifact())
    write_artifact(artifact, tmp_path)
    arrays = unpack_arrays(read_artifact(tmp_path).weights)
    assert {name: (array.dtype, array.tolist()) for name, array in arrays.items()} == {
        name: (array.dtype, array.tolist()) for name, array in unpack_arrays(artifact.weights).items()
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
    assert read_artifact(tmp_path).weights == {"model.onnx": b"some network"}


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


def test_different_weights_give_a_different_digest(tmp_path: Path) -> None:
    artifact = with_golden(tiny_artifact())
    arrays = unpack_arrays(artifact.weights) | {"intercept": np.array([1e-9])}
    other = replace(artifact, weights=pack_arrays(arrays))
    digests = []
    for name, content in (("first", artifact), ("second", other)):
        write_artifact(content, tmp_path / name)
        digests.append(read_artifact(tmp_path / name).digest)
    assert digests[0] != digests[1]


# Damage is refused with the name of the file


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
def test_a_manifest_that_lists_a_file_outside_the_format_is_refused(folder: Path, name: str) -> None:
    _edit_manifest(folder, lambda manifest: manifest["files"].update({name: "0" * 64}))
    _assert_refused(folder, f"files names {name!r}; the other files of a model of kind 'linear' are ")


@pytest.mark.parametrize("name", ["../tiny", "a/b", "", "tiny:1", "-tiny", "t" * 64, "Tiny", "tiny\n"])
def test_a_name_that_the_store_does_not_allow_is_refused(folder: Path, name: str) -> None:
    _edit_manifest(folder, lambda manifest: manifest.update(name=name))
    _assert_refused(folder, f"{folder / 'artifact.json'} is not an artifact's manifest: name: ")


def test_a_manifest_without_a_required_field_names_it(folder: Path) -> None:
    _edit_manifest(folder, lambda manifest: manifest.pop("labels"))
    _assert_refused(folder, "labels: Field required")


@pytest.mark.parametrize("content", [b"", b"[", b'{"good": 0}', b'"good"', b"[1]", b"null", b"\xff"])
def test_a_vocabulary_that_is_not_an_array_of_tokens_is_named(folder: Path, content: bytes) -> None:
    _put(folder, "vocabulary.json", content)
    _assert_refused(folder, f"{folder / 'vocabulary.json'} is not a JSON array of tokens")


@pytest.mark.parametrize("line", [b"{", b'{"text": "a"}', b"\xff", b"", b'{"text": 1, "probabilities": []}'])
def test_malformed_golden_cases_are_named(folder: Path, line: bytes) -> None:
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
    _assert_not_loaded(
        folder, f"{folder}: weights.npz does not hold flat arrays: Object arrays cannot be loaded"
    )


def test_an_array_of_objects_is_never_unpickled(folder: Path, tmp_path: Path) -> None:
    _put(folder, "weights.npz", _npz(weights=np.array([_Touches(tmp_path / "touched")], dtype=object)))
    with pytest.raises(ArtifactError):
        load_classifier(folder)
    assert not (tmp_path / "touched").exists()


def _zip(*members: Any) -> bytes:
    """Return an archive; the arguments are the name and the content of each member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in zip(members[::2], members[1::2], strict=True):
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
def test_weights_that_are_not_an_archive_of_arrays_are_named(folder: Path, content: bytes) -> None:
    _put(folder, "weights.npz", content)
    _assert_not_loaded(folder, f"{folder}: weights.npz does not hold flat arrays")


@pytest.mark.parametrize("percent", [1, 10, 50, 90, 99])
def test_truncated_weights_with_a_matching_digest_are_named(folder: Path, percent: int) -> None:
    content = (folder / "weights.npz").read_bytes()
    _put(folder, "weights.npz", content[: len(content) * percent // 100])
    _assert_not_loaded(folder, f"{folder}: weights.npz does not hold flat arrays")


def test_a_damaged_byte_with_a_matching_digest_raises_only_artifact_errors(folder: Path) -> None:
    content = (folder / "weights.npz").read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        _put(folder, "weights.npz", bytes(damaged))
        try:
            load_classifier(folder)
        except ArtifactError as error:
            assert str(error).startswith((f"{folder}: weights.npz", f"{folder}: golden.jsonl"))  # noqa: PT017


# Loading runs the golden cases


@pytest.mark.parametrize("labels", [BINARY_LABELS, FOUR_LABELS], ids=["2 classes", "4 classes"])
def test_an_artifact_whose_golden_cases_pass_loads(tmp_path: Path, labels: tuple[str, ...]) -> None:
    assert load_classifier(write_tiny(tmp_path, labels)).labels == labels


def _with_first_case(folder: Path, probabilities: list[float]) -> None:
    first, *others = (folder / "golden.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    case = json.loads(first) | {"probabilities": probabilities}
    _put(folder, "golden.jsonl", "".join([json.dumps(case) + "\n", *others]).encode())


@pytest.mark.parametrize("probabilities", [[0.4998, 0.5002], [0.5], []], ids=str)
def test_a_golden_case_that_no_longer_holds_is_named(folder: Path, probabilities: list[float]) -> None:
    _with_first_case(folder, probabilities)  # "A simple sentence." has no known word, so it gets 0.5
    with pytest.raises(ArtifactError, match=re.escape(f"{folder}: golden.jsonl line 1: ")):
        load_classifier(folder)


def test_a_golden_case_may_differ_in_the_last_digits(folder: Path) -> None:
    _with_first_case(folder, [0.49995, 0.50005])
    assert load_classifier(folder).labels == BINARY_LABELS


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    with np.load(folder / "weights.npz") as arrays:
        changed = {**arrays, "weights": np.zeros((3, 1))}
    _put(folder, "weights.npz", _npz(**changed))
    with pytest.raises(ArtifactError, match=re.escape(f"{folder}: weights.npz: weights of shape (3, 1)")):
        load_classifier(folder)


def test_weights_that_are_not_numbers_are_refused_with_the_name_of_the_folder(folder: Path) -> None:
    with np.load(folder / "weights.npz") as arrays:
        changed = {**arrays, "intercept": np.array([np.nan])}
    _put(folder, "weights.npz", _npz(**changed))
    with pytest.raises(
        ArtifactError,
        match=re.escape(f"{folder}: weights.npz: intercept holds nan, which is not a finite number"),
    ):
        load_classifier(folder)


def test_bytes_that_are_not_a_network_are_named(tmp_path: Path) -> None:
    write_artifact(_onnx_artifact(), tmp_path)
    with pytest.raises(ArtifactError, match=re.escape(f"{tmp_path}: model.onnx cannot be loaded")):
        load_classifier(tmp_path)


# A file that is too large is refused before it is read


def _sparse(path: Path, size: int) -> None:
    """Write a file of `size` bytes that takes no space on the disk."""
    path.unlink()
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize("name", ["artifact.json", *FILES])
def test_a_file_above_its_bound_is_refused_unread(folder: Path, name: str) -> None:
    bound = {"artifact.json": MAX_MANIFEST_BYTES, **MAX_BYTES, **LinearRuntime.max_bytes}[name]
    _sparse(folder / name, bound + 1)
    _assert_refused(folder, f"{folder / name} has {bound + 1} bytes; at most {bound} are allowed")


@pytest.mark.parametrize("name", ["artifact.json", *FILES])
def test_a_path_that_is_not_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    _assert_refused(folder, f"{folder / name} is not a file")


def test_a_deeply_nested_vocabulary_is_refused(folder: Path) -> None:
    _put(folder, "vocabulary.json", b"[" * 200_000 + b"]" * 200_000)
    _assert_refused(folder, f"{folder / 'vocabulary.json'} is not a JSON array of tokens")


def test_a_deeply_nested_manifest_is_refused(folder: Path) -> None:
    (folder / "artifact.json").write_bytes(b'{"metrics":' * 200_000)
    _assert_refused(folder, f"{folder / 'artifact.json'} is not an artifact's manifest")


def test_deeply_nested_golden_cases_are_refused(folder: Path) -> None:
    _put(folder, "golden.jsonl", b"[" * 200_000 + b"\n")
    _assert_refused(folder, f"{folder / 'golden.jsonl'}: ")


def test_more_golden_cases_than_a_start_should_run_are_refused(folder: Path) -> None:
    line = (folder / "golden.jsonl").read_bytes().splitlines(keepends=True)[0]
    _put(folder, "golden.jsonl", line * 1001)
    _assert_refused(folder, f"{folder / 'golden.jsonl'} has 1001 cases; at most 1000 are allowed")


def test_a_vocabulary_with_a_token_twice_is_refused(folder: Path) -> None:
    tokens = json.loads((folder / "vocabulary.json").read_bytes())
    _put(folder, "vocabulary.json", json.dumps([*tokens, tokens[0]]).encode())
    with pytest.raises(ArtifactError, match=re.escape(f"{folder}: vocabulary.json has a token twice")):
        load_classifier(folder)


def _with_arrays(folder: Path, **arrays: np.ndarray) -> None:
    with np.load(folder / "weights.npz") as old:
        _put(folder, "weights.npz", _npz(**{**old, **arrays}))


def test_an_array_that_linear_models_do_not_have_is_refused_unread(folder: Path) -> None:
    _with_arrays(folder, unused=np.zeros(10))
    _assert_not_loaded(folder, f"{folder}: weights.npz holds 'unused'; the arrays of a linear model are ")


def _declared(shape: tuple[int, ...], content: bytes = b"", dtype: str = "<f8") -> bytes:
    """Return an .npy file whose header declares a shape, with any content after it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


@pytest.mark.parametrize("shape", [(2**27,), (2**20, 2**20), (2**62, 2**62)], ids=str)
def test_more_numbers_than_the_bound_are_refused_unread(folder: Path, shape: tuple[int, ...]) -> None:
    tracemalloc.start()
    _put(folder, "weights.npz", _zip("weights.npy", _declared(shape), "intercept.npy", _npy(np.ones(1))))
    with pytest.raises(ArtifactError, match=re.escape(f"{folder}: weights.npz")) as caught:
        load_classifier(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "numbers; at most 134217728 are allowed" in str(caught.value) or "declares" in str(caught.value)
    assert peak < 50_000_000


def test_an_archive_that_unpacks_to_more_than_its_arrays_is_refused_unread(folder: Path) -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("weights.npy", "w") as file,
    ):
        file.write(_npy(np.ones(3)))
        for _ in range(100):
            file.write(bytes(1_000_000))
    _put(folder, "weights.npz", buffer.getvalue())
    _assert_not_loaded(
        folder, f"{folder}: weights.npz does not hold flat arrays: weights.npy declares 24 bytes"
    )


def test_an_archive_of_very_many_members_is_refused_before_its_directory_is_read(folder: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(100):
            archive.writestr(f"{number}.npy", b"")
    _put(folder, "weights.npz", buffer.getvalue())
    _assert_not_loaded(folder, f"{folder}: weights.npz has 100 members; at most 64 are allowed")


def test_a_duplicate_array_is_refused(folder: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = _zip("weights.npy", _npy(np.ones(1)), "weights.npy", _npy(np.zeros(1)))
    _put(folder, "weights.npz", content)
    _assert_not_loaded(folder, f"{folder}: weights.npz does not hold flat arrays: weights.npy occurs twice")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_a_compression_whose_output_cannot_be_bounded_is_refused(folder: Path, method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("weights.npy", _npy(np.ones(3)))
    _put(folder, "weights.npz", buffer.getvalue())
    _assert_not_loaded(folder, "weights.npy is compressed by method ")


@pytest.mark.parametrize(
    "array", [np.ones(3, complex), np.array(["a"]), np.array([True]), np.ones(3, "longdouble")]
)
def test_arrays_of_anything_but_plain_numbers_are_refused(folder: Path, array: np.ndarray) -> None:
    _with_arrays(folder, weights=array)
    _assert_not_loaded(folder, f"does not hold flat arrays: weights.npy is of {array.dtype}")


# Numbers that make a score impossible


@pytest.mark.parametrize("name", ["weights", "intercept", "scale"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_a_weight_that_is_not_finite_is_refused_even_if_no_golden_case_uses_it(
    folder: Path, name: str, value: float, dtype: type
) -> None:
    with np.load(folder / "weights.npz") as arrays:
        array = np.ones(len(arrays["weights"])) if name == "scale" else arrays[name].copy()
        if name == "weights":
            # No golden case has this word.
            array[json.loads((folder / "vocabulary.json").read_bytes()).index("awful")] = value
        else:
            array[-1] = value
    _with_arrays(folder, **{name: array.astype(dtype)})
    with pytest.raises(
        ArtifactError,
        match=re.escape(f"{folder}: weights.npz: {name} holds {value}, which is not a finite number"),
    ):
        load_classifier(folder)


@pytest.mark.parametrize("field", [{"scale": 1e999}, {"bias": [0.0, 1e999]}, {"scale": float("nan")}])
def test_a_calibration_that_is_not_finite_is_refused(folder: Path, field: dict[str, Any]) -> None:
    _edit_manifest(folder, lambda manifest: manifest["calibration"].update(field))
    _assert_refused(folder, f"calibration.{next(iter(field))}")


def _with_words(folder: Path, level: int, change: Callable[[np.ndarray, np.ndarray], Any]) -> None:
    with np.load(folder / "weights.npz") as arrays:
        words, children = change(arrays[f"words_{level}"], arrays[f"children_{level}"])
    _with_arrays(folder, **{f"words_{level}": words, f"children_{level}": children})


@pytest.mark.parametrize("large", [2**63, 2**64 - 1])
def test_an_id_that_is_too_large_for_a_signed_number_is_refused(folder: Path, large: int) -> None:
    _with_words(folder, 2, lambda words, children: (np.full(len(words), large, np.uint64), children))
    with pytest.raises(ArtifactError, match="words_2 and children_2 do not fit the level above"):
        load_classifier(folder)


def test_counts_of_children_that_overflow_are_refused(folder: Path) -> None:
    def overflow(words: np.ndarray, children: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = children.astype(np.uint64)
        counts[0] += 2**63
        counts[1] += 2**63
        return words, counts

    _with_words(folder, 2, overflow)
    with pytest.raises(ArtifactError, match="words_2 and children_2 do not fit the level above"):
        load_classifier(folder)


def test_a_duplicate_n_gram_is_refused_without_hashing(folder: Path) -> None:
    _with_words(folder, 2, lambda words, children: (np.full(len(words), words[0]), children))
    with pytest.raises(ArtifactError, match="words_2 holds an n-gram twice"):
        load_classifier(folder)
