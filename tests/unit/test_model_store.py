"""Artifacts in a BentoML model store; each test has an empty store of its own."""

import itertools
import os
import re
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import bentoml
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from tiny import FOUR_LABELS, write_tiny

import model_store
from classifier.artifact import read_artifact
from classifier.errors import ArtifactError
from classifier.pipeline import load_classifier
from classifier.settings import ModelSettings


@pytest.fixture(autouse=True)
def _empty_store(tmp_path):
    # BentoML reads BENTOML_HOME only once, when it is imported; its own tests set the store like this.
    (tmp_path / "store").mkdir()
    BentoMLContainer.model_store.set(ModelStore(tmp_path / "store"))
    yield
    BentoMLContainer.model_store.reset()


@pytest.fixture
def folder(tmp_path):
    return write_tiny(tmp_path / "artifact")


def test_a_tag_is_the_name_and_the_beginning_of_the_digest(folder):
    assert model_store.save(folder) == f"tiny:{read_artifact(folder).digest[:12]}"


def test_a_saved_model_loads_and_answers_as_before(folder):
    stored = model_store.folder_of(model_store.save(folder))
    assert stored != folder
    assert read_artifact(stored).digest == read_artifact(folder).digest
    texts = ["a good film", "not good"]
    assert load_classifier(stored).predict(texts) == load_classifier(folder).predict(texts)


def test_only_the_artifacts_own_files_are_saved(folder):
    (folder / "notes.txt").write_text("mine")
    stored = model_store.folder_of(model_store.save(folder))
    own = {path.name for path in folder.iterdir()} - {"notes.txt"}
    assert {path.name for path in stored.iterdir()} == own | {"model.yaml"}


def test_saving_the_same_again_changes_nothing(folder):
    tag = model_store.save(folder)
    before = model_store.stored_models()
    assert model_store.save(folder) == tag
    assert model_store.stored_models() == before
    assert len(before) == 1


def test_a_different_artifact_with_the_same_name_is_another_version(folder, tmp_path):
    first = model_store.save(folder)
    second = model_store.save(write_tiny(tmp_path / "other", threshold=0.7))
    assert first != second
    assert {model.tag for model in model_store.stored_models()} == {first, second}


def test_a_damaged_artifact_is_not_saved(folder):
    (folder / "vocabulary.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"vocabulary\.json"):
        model_store.save(folder)
    assert model_store.stored_models() == []


@pytest.mark.parametrize("tag", ["tiny:0123456789ab", "tiny:latest", "other", "not a tag!", "a:b:c", ""])
def test_an_unknown_tag_is_refused_by_its_name(tag):
    with pytest.raises(ArtifactError) as caught:
        model_store.folder_of(tag)
    assert f"the BentoML model store has no model {tag!r}" in str(caught.value)


def test_the_error_for_an_unknown_tag_says_how_many_stored_tags_it_does_not_show(folder, monkeypatch):
    monkeypatch.setattr(model_store, "MAX_SHOWN_TAGS", 0)
    model_store.save(folder)
    with pytest.raises(ArtifactError, match=r"it has +and 1 more; "):
        model_store.folder_of("other")


def test_latest_is_the_newest_version(folder, tmp_path):
    model_store.save(folder)
    newest = model_store.save(write_tiny(tmp_path / "other", threshold=0.7))
    assert model_store.folder_of("tiny:latest") == model_store.folder_of(newest)


def test_the_newest_model_is_listed_first(folder, tmp_path):
    oldest = model_store.save(folder)
    middle = model_store.save(write_tiny(tmp_path / "four", FOUR_LABELS, name="emotions"))
    newest = model_store.save(write_tiny(tmp_path / "other", threshold=0.7))
    models = model_store.stored_models()
    assert [model.tag for model in models] == [newest, middle, oldest]
    assert models[1].manifest == read_artifact(tmp_path / "four").manifest
    assert models[0].created >= models[1].created >= models[2].created


def test_models_of_other_projects_are_not_listed(folder):
    with bentoml.models.create("theirs", module="elsewhere") as model:
        (Path(model.path) / "weights.bin").write_bytes(b"1")
    tag = model_store.save(folder)
    assert [model.tag for model in model_store.stored_models()] == [tag]


def test_the_model_saved_last_is_the_latest_even_if_the_store_had_it_before(tmp_path):
    first = model_store.save(write_tiny(tmp_path / "first"))
    second = model_store.save(write_tiny(tmp_path / "second", threshold=0.25))
    assert first != second
    assert model_store.folder_of("tiny:latest") == model_store.folder_of(second)
    assert model_store.save(tmp_path / "first") == first
    assert model_store.folder_of("tiny:latest") == model_store.folder_of(first)


# Imports that are killed, and imports that run at the same time


def _in_a_child(work: Callable[[], object]) -> int:
    """Run `work` in a child process; return its exit status, which is negative if a signal ended it."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _killed_at(step: int, work: Callable[[], object]) -> Callable[[], None]:
    """Return `work` changed so that SIGKILL ends it at its n-th change of the file system; for a child."""

    def killed() -> None:
        steps = itertools.count()

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            changes = event.startswith(("os.", "shutil.")) or (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if changes and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()

    return killed


def _entries(store: Path) -> list[set[str]]:
    """Return the names of the files of each entry of "tiny"."""
    folders = [path for path in (store / "tiny").glob("*") if path.is_dir()]
    return [{path.name for path in folder.iterdir()} for folder in folders]


def _assert_complete(store: Path, folder: Path) -> None:
    assert _entries(store) == [{path.name for path in folder.iterdir()} | {"model.yaml"}]
    assert [str(model.tag) for model in bentoml.models.list()] == [model_store.save(folder)]
    assert read_artifact(model_store.folder_of("tiny:latest")).digest == read_artifact(folder).digest
    assert [path.name for path in store.iterdir() if path.is_dir()] == ["tiny"]


def test_an_import_killed_at_any_step_leaves_the_whole_model_or_nothing_and_the_next_one_succeeds(
    folder, tmp_path
):
    store = tmp_path / "store"
    complete = {path.name for path in folder.iterdir()} | {"model.yaml"}
    for step in itertools.count():
        status = _in_a_child(_killed_at(step, lambda: model_store.save(folder)))
        assert _entries(store) in ([], [complete]), f"killed at step {step}"
        bentoml.models.list()
        if status == 0:
            break
        assert status == -signal.SIGKILL
        model_store.save(folder)
        _assert_complete(store, folder)
        shutil.rmtree(store)
        store.mkdir()
    assert step >= 10


def test_an_import_of_a_newer_version_killed_at_any_step_leaves_latest_at_one_of_the_two(folder, tmp_path):
    old = model_store.save(write_tiny(tmp_path / "old", threshold=0.7))
    store = tmp_path / "store"
    shutil.copytree(store, tmp_path / "before")
    new = f"tiny:{read_artifact(folder).version}"
    for step in itertools.count():
        status = _in_a_child(_killed_at(step, lambda: model_store.save(folder)))
        assert str(bentoml.models.get("tiny:latest").tag) in {old, new}, f"killed at step {step}"
        if status == 0:
            break
        assert model_store.save(folder) == new
        assert str(bentoml.models.get("tiny:latest").tag) == new
        shutil.rmtree(store)
        shutil.copytree(tmp_path / "before", store)


def _without(name: str) -> Callable[[Path], None]:
    return lambda entry: (entry / name).unlink()


def _emptied(name: str) -> Callable[[Path], None]:
    return lambda entry: (entry / name).write_bytes(b"")


def _only_the_folder(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.mkdir()


def _latest_emptied(entry: Path) -> None:
    (entry.parent / "latest").write_text("")


PARTIAL = {
    "no file": _only_the_folder,
    "no model.yaml": _without("model.yaml"),
    "an empty model.yaml": _emptied("model.yaml"),
    "no manifest": _without("artifact.json"),
    "no weights": _without("weights.npz"),
    "empty weights": _emptied("weights.npz"),
    "empty latest": _latest_emptied,
}


@pytest.mark.parametrize("damage", PARTIAL.values(), ids=PARTIAL.keys())
def test_the_next_import_repairs_a_partial_entry(folder, tmp_path, damage):
    tag = model_store.save(folder)
    damage(tmp_path / "store" / "tiny" / tag.partition(":")[2])
    assert model_store.save(folder) == tag
    _assert_complete(tmp_path / "store", folder)


def test_a_broken_entry_of_another_model_does_not_stop_an_import(folder, tmp_path):
    (tmp_path / "store" / "other" / "1").mkdir(parents=True)
    tag = model_store.save(folder)
    assert model_store.folder_of(tag).name == tag.partition(":")[2]
    assert [model.tag for model in model_store.stored_models()] == [tag]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"name: tiny\n", b"\x00"], ids=repr)
@pytest.mark.parametrize("version", ["latest", "exact"])
def test_a_broken_description_of_a_stored_model_is_named(folder, content, version):
    tag = model_store.save(folder)
    description = model_store.folder_of(tag) / "model.yaml"
    description.write_bytes(content)
    with pytest.raises(ArtifactError, match=re.escape(f"{description} cannot be read")):
        model_store.folder_of("tiny:latest" if version == "latest" else tag)


def test_two_concurrent_imports_both_succeed(folder, tmp_path):
    read, write = os.pipe()

    def wait_then_save() -> None:
        os.close(write)
        os.read(read, 1)  # waits until the parent closes its end
        for _ in range(20):
            model_store.save(folder)

    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            try:
                wait_then_save()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(write)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    os.close(read)
    _assert_complete(tmp_path / "store", folder)


def test_a_store_that_cannot_be_written_is_named(folder, tmp_path):
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ArtifactError, match=re.escape(f"{tmp_path / 'store'} cannot be written: ")):
        model_store.save(folder)


def test_a_full_disk_is_named_and_leaves_nothing(folder, tmp_path):
    limit = (folder / "weights.npz").stat().st_size // 2

    def save_with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(ArtifactError, match="cannot be written: File too large"):
            model_store.save(folder)

    assert _in_a_child(save_with_little_room) == 0
    assert _entries(tmp_path / "store") == []


def test_an_artifact_that_the_store_has_is_not_saved_again(folder):
    tag = f"tiny:{read_artifact(folder).version}"
    assert model_store.save_if_missing(folder, "tiny:latest") == tag
    assert model_store.save_if_missing(folder, "tiny:latest") is None


def test_nothing_is_saved_if_another_model_with_the_name_is_the_latest(folder, tmp_path):
    other = model_store.save(write_tiny(tmp_path / "other", threshold=0.7))
    model_store.save_if_missing(folder, "tiny:latest")
    assert [model.tag for model in model_store.stored_models()] == [other]


@pytest.mark.parametrize("damage", PARTIAL.values(), ids=PARTIAL.keys())
def test_the_artifact_is_saved_if_the_entry_is_missing_or_partial(folder, tmp_path, damage):
    model_store.save_if_missing(folder, "tiny:latest")
    _assert_complete(tmp_path / "store", folder)
    damage(tmp_path / "store" / "tiny" / read_artifact(folder).version)
    model_store.save_if_missing(folder, "tiny:latest")
    _assert_complete(tmp_path / "store", folder)


def test_the_bundled_model_is_saved_once_in_a_store_that_lacks_it(bundled):
    model = ModelSettings(name=bundled.name)
    tag = f"{bundled.name}:{read_artifact(bundled).version}"
    assert model_store.put_bundled_model(model) == tag
    assert model_store.put_bundled_model(model) is None


def test_the_bundled_model_is_not_saved_if_the_store_has_a_model_of_its_name(bundled, tmp_path):
    other = model_store.save(write_tiny(tmp_path / "other", name=bundled.name))
    model_store.put_bundled_model(ModelSettings(name=bundled.name))
    assert [model.tag for model in model_store.stored_models()] == [other]


def test_the_bundled_model_is_saved_if_its_version_is_requested(bundled, tmp_path):
    model_store.save(write_tiny(tmp_path / "other", name=bundled.name))
    version = read_artifact(bundled).version
    model_store.put_bundled_model(ModelSettings(name=bundled.name, version=version))
    assert model_store.folder_of(f"{bundled.name}:{version}").name == version


def test_the_bundled_model_is_not_saved_if_another_model_is_requested():
    assert model_store.put_bundled_model(ModelSettings(name="mine")) is None
    assert model_store.stored_models() == []
