"""What a release contains, from the labels of an image or of a Bento. Each test has its own store."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from bentoml._internal.bento import BentoStore
from bentoml._internal.configuration.containers import BentoMLContainer

from k8s.environment.loading import ENVIRONMENTS_PATH, load_environment
from k8s.environment.release import compare, contents_of, release_of
from k8s.environment.sections import Release
from k8s.environment.values import ImageReference, ImageVersion
from k8s.errors import InvalidEnvironment, UnknownBento, WrongImage
from k8s.manifests import Manifests, Options, render_environment

LABELS = {"commit": "0" * 40, "model": "imdb-sentiment:9656270195ba", "model-digest": "7" * 64}


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
    assert environment.release.model_version == "9656270195ba"


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


# The labels of an image


BENTO = "text-classifier:0123-4567"
IMAGE = ImageReference("localhost:1/text-classifier", ImageVersion("1", None))
"""No registry answers there."""
IMAGE_LABELS = {
    "org.opencontainers.image.revision": "0" * 40,
    "org.opencontainers.image.title": "text-classifier",
    "text-classifier.bento": BENTO,
    "text-classifier.model": LABELS["model"],
    "text-classifier.model-digest": LABELS["model-digest"],
}
RELEASE = {
    "bento": BENTO,
    "version": "0123-4567",
    "commit": LABELS["commit"],
    "model": LABELS["model"],
    "model_digest": LABELS["model-digest"],
}


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Decide with which labels the only engine of this machine has every image."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def has(labels: dict[str, str] | None) -> None:
        program = tmp_path / "podman"
        program.write_text(f"#!/bin/sh\necho '{json.dumps(labels)}'\n")
        program.chmod(0o755)

    return has


@pytest.mark.parametrize("bento", [None, BENTO])
def test_the_release_is_what_the_labels_of_the_image_say(engine, bento):
    engine(IMAGE_LABELS)
    found = contents_of(IMAGE, bento)
    assert found.release == RELEASE
    assert found.remark == (
        "localhost:1/text-classifier:1 contains imdb-sentiment:9656270195ba, as its labels say "
        "(podman on this machine)"
    )


def test_an_image_that_was_made_from_another_bento_is_refused(engine):
    engine(IMAGE_LABELS)
    with pytest.raises(WrongImage) as refused:
        contents_of(IMAGE, "text-classifier:other")
    assert str(refused.value) == (
        "BENTO is 'text-classifier:other', and localhost:1/text-classifier:1 was made from "
        "'text-classifier:0123-4567', as its labels say (podman on this machine); both must be the same"
    )


@pytest.mark.usefixtures("engine")
def test_a_bento_is_believed_if_the_image_cannot_be_read_and_this_is_said(store):
    put(store, BENTO, LABELS)
    found = contents_of(IMAGE, BENTO)
    assert found.release == RELEASE
    assert found.remark.startswith(
        "nothing was compared, and the pods get the labels of the Bento text-classifier:0123-4567: "
        "localhost:1 does not answer: "
    )


@pytest.mark.usefixtures("engine")
def test_an_image_that_cannot_be_read_has_an_unknown_release():
    found = contents_of(IMAGE, None)
    assert found.release is None
    assert found.remark.startswith(
        "nothing was compared, and the pods of localhost:1/text-classifier:1 will not name its model: "
    )


@pytest.mark.parametrize("labels", [None, {}, IMAGE_LABELS | {"text-classifier.model": None}])
def test_an_image_without_a_label_of_ours_has_an_unknown_release(engine, labels):
    engine(labels and {key: value for key, value in labels.items() if value})
    found = contents_of(IMAGE, None)
    assert found.release is None
    assert "localhost:1/text-classifier:1 has no label 'text-classifier." in found.remark


# A release that was written by hand


def written(**changes: str) -> Release:
    return Release.model_validate(RELEASE | {"version": "0.1.0", "bento": None, "commit": None} | changes)


def test_a_written_release_that_is_right_is_confirmed(engine):
    engine(IMAGE_LABELS)
    assert compare(IMAGE, written()) == (
        "localhost:1/text-classifier:1 contains imdb-sentiment:9656270195ba, as `release` and its labels say"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "imdb-sentiment:other"),
        ("model_digest", "8" * 64),
        ("bento", "text-classifier:other"),
        ("commit", "1" * 40),
    ],
)
def test_a_written_release_that_contradicts_the_image_is_refused(engine, key, value):
    engine(IMAGE_LABELS)
    with pytest.raises(WrongImage) as refused:
        compare(IMAGE, written(**{key: value}))
    assert str(refused.value) == (
        f"release.{key} is {value!r}, and localhost:1/text-classifier:1 has {RELEASE[key]!r}, as its labels "
        "say; both must be the same"
    )


@pytest.mark.usefixtures("engine")
def test_a_written_release_is_compared_with_nothing_if_the_image_cannot_be_read():
    assert compare(IMAGE, written()).startswith("nothing was compared with `release`: localhost:1 does not")


# The manifests of an image


def options(**more: str) -> Options:
    return Options(image=str(IMAGE), **more)


def pods_of(name: str, rendered: Manifests) -> dict[str, Any]:
    return yaml.safe_load(rendered.files[f"{name}.yaml"])["spec"]["template"]["metadata"]


@pytest.mark.parametrize("track", ["deployment", "deployment-canary"])
def test_the_pods_of_both_tracks_have_the_labels_of_their_image(engine, track):
    engine(IMAGE_LABELS)
    rendered = render_environment("local", options(canary="2"))
    found = pods_of(track, rendered)
    assert found["labels"]["text-classifier/model-version"] == "9656270195ba"
    assert found["labels"]["app.kubernetes.io/version"] == "0123-4567"
    assert found["annotations"]["text-classifier/bento"] == BENTO
    assert len(rendered.remarks) == 2


def test_an_image_with_a_model_of_another_name_is_deployed_with_it(engine):
    """The variables of the image name its model, whatever the project's config.yaml names."""
    engine(IMAGE_LABELS | {"text-classifier.model": "reviews:1"})
    environment = render_environment("local", options()).environment
    assert environment.config.model.tag == "reviews:latest"


def test_an_image_with_another_model_than_the_environment_asks_for_is_refused(engine, tmp_path):
    engine(IMAGE_LABELS | {"text-classifier.model": "reviews:1"})
    tree = yaml.safe_load(ENVIRONMENTS_PATH.read_text(encoding="utf-8"))
    tree["local"]["config"] = {"model": {"name": "imdb-sentiment"}}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(
        InvalidEnvironment, match=r"config\.model is 'imdb-sentiment:latest', and the image cont"
    ):
        render_environment("local", options(environments=path))


def test_without_an_image_nothing_is_looked_up(engine):
    engine(IMAGE_LABELS | {"text-classifier.model": "reviews:1"})
    assert render_environment("local", Options()).remarks == ()
