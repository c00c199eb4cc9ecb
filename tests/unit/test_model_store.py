"""Artifacts in a BentoML model store, each test with an empty one of its own."""

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


@pytest.fixture(autouse=True)
def _empty_store(tmp_path):
    # BENTOML_HOME is read once, when BentoML is imported; BentoML's own tests set the store like this.
    (tmp_path / "store").mkdir()
    BentoMLContainer.model_store.set(ModelStore(tmp_path / "store"))
    yield
    BentoMLContainer.model_store.reset()


@pytest.fixture
def folder(tmp_path):
    return write_tiny(tmp_path / "artifact")


def test_a_tag_is_the_name_with_the_beginning_of_the_digest(folder):
    assert model_store.save(folder) == f"tiny:{read_artifact(folder).digest[:12]}"


def test_what_was_saved_loads_and_answers_as_before(folder):
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


def test_to_save_the_same_again_changes_nothing(folder):
    tag = model_store.save(folder)
    before = model_store.stored_models()
    assert model_store.save(folder) == tag
    assert model_store.stored_models() == before
    assert len(before) == 1


def test_another_artifact_of_the_same_name_is_another_version(folder, tmp_path):
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


def test_models_of_others_are_not_listed(folder):
    with bentoml.models.create("theirs", module="elsewhere") as model:
        (Path(model.path) / "weights.bin").write_bytes(b"1")
    tag = model_store.save(folder)
    assert [model.tag for model in model_store.stored_models()] == [tag]


def test_what_was_saved_last_is_the_latest_even_if_it_was_there_before(tmp_path):
    first = model_store.save(write_tiny(tmp_path / "first"))
    second = model_store.save(write_tiny(tmp_path / "second", threshold=0.25))
    assert first != second
    assert model_store.folder_of("tiny:latest") == model_store.folder_of(second)
    assert model_store.save(tmp_path / "first") == first
    assert model_store.folder_of("tiny:latest") == model_store.folder_of(first)
