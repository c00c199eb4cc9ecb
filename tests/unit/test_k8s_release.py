"""Facts of a release that are read from a Bento in the store. Each test has its own store."""

from pathlib import Path

import pytest
import yaml
from bentoml._internal.bento import BentoStore
from bentoml._internal.configuration.containers import BentoMLContainer

from k8s.environment.loading import load_environment
from k8s.environment.release import release_of
from k8s.errors import UnknownBento

LABELS = {"commit": "0" * 40, "model": "imdb-sentiment:760d85047030", "model-digest": "7" * 64}


@pytest.fixture
def store(tmp_path):
    (tmp_path / "bentos").mkdir()
    BentoMLContainer.bento_store.set(BentoStore(tmp_path / "bentos"))
    yield tmp_path / "bentos"
    BentoMLContainer.bento_store.reset()


def put(store: Path, tag: str, labels: dict[str, str]) -> None:
    name, version = tag.split(":")
    folder = store / name / version
    folder.mkdir(parents=True)
    info = {
        "service": "service:TextClassifier",
        "name": name,
        "version": version,
        "bentoml_version": "1.4.40",
        "creation_time": "2026-01-01T00:00:00+00:00",
        "labels": labels,
        "spec": 2,
    }
    (folder / "bento.yaml").write_text(yaml.safe_dump(info))


def test_a_bento_tag_without_a_version_is_refused_even_if_the_store_has_one(store):
    put(store, "text-classifier:0123-4567", LABELS)
    with pytest.raises(UnknownBento, match="'text-classifier' has no version; an image is made from one"):
        release_of("text-classifier")


def test_the_release_has_the_version_commit_and_model_of_the_bento(store):
    put(store, "text-classifier:0123-4567", LABELS)
    assert release_of("text-classifier:0123-4567") == {
        "bento": "text-classifier:0123-4567",
        "version": "0123-4567",
        "commit": LABELS["commit"],
        "model": LABELS["model"],
        "model_digest": LABELS["model-digest"],
    }


def test_an_environment_can_use_the_release_of_a_bento(store):
    put(store, "text-classifier:0123-4567", LABELS)
    environment = load_environment("local", {"release": release_of("text-classifier:0123-4567")})
    assert environment.release is not None
    assert environment.release.model_version == "760d85047030"


def test_the_error_for_an_unknown_bento_lists_the_stored_ones(store):
    put(store, "text-classifier:1", LABELS)
    put(store, "text-classifier:2", LABELS)
    with pytest.raises(UnknownBento) as refused:
        release_of("text-classifier:3")
    assert str(refused.value) == (
        "the BentoML store has no Bento 'text-classifier:3'; it has text-classifier:1, text-classifier:2"
    )


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("tag", ["text-classifier:3", "Text Classifier:1", ":"])
def test_an_empty_store_is_reported_as_empty(tag):
    with pytest.raises(UnknownBento) as refused:
        release_of(tag)
    assert str(refused.value) == f"the BentoML store has no Bento {tag!r}; it is empty"


def test_a_bento_without_a_required_label_is_refused_and_the_label_named(store):
    put(store, "text-classifier:1", {"commit": "0" * 40, "model": "imdb-sentiment:1"})
    with pytest.raises(UnknownBento) as refused:
        release_of("text-classifier:1")
    assert str(refused.value) == (
        "Bento 'text-classifier:1' has no label 'model-digest'; `make bento` sets model, model-digest, commit"
    )
