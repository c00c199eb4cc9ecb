"""The labels of an imported model come from the user, its package or the model, and are never guessed."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.preprocessing import LabelEncoder

from training_import.conversion.converted import ClassLabels, ImportOptions, UnsupportedModel
from training_import.conversion.import_model import import_model
from training_import.conversion.labels import class_labels, read_class_names

CLASSES = np.array([0, 1])
NAMES = ("good", "terrible")


def found(classes: Any, labels: tuple[str, ...] | None = None, /, **package: Any) -> ClassLabels:
    said = [read_class_names(key, value) for key, value in package.items()]
    return class_labels(ImportOptions(name="imported", labels=labels), said, classes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label_encoder", LabelEncoder().fit(["terrible", "good", "terrible"])),
        ("labels", ["good", "terrible"]),
        ("classes", np.array(["good", "terrible"])),
        ("target_names", ("good", "terrible")),
        ("class_names", ["good", "terrible"]),
        ("id2label", {0: "good", 1: "terrible"}),
        ("id2label", {"1": "terrible", "0": "good"}),
        ("label2id", {"terrible": 1, "good": 0}),
        ("labels", {"terrible": np.int64(1), "good": np.int64(0)}),
        ("label_encoder", ["good", "terrible"]),
        ("labels", pd.Series(["good", "terrible"])),
        ("id2label", pd.Series(["terrible", "good"], [1, 0])),
        ("label2id", pd.Series({"terrible": 1, "good": 0})),
    ],
)
@pytest.mark.parametrize("classes", [2, CLASSES, np.array([0.0, 1.0]), np.array([False, True])], ids=str)
def test_a_package_names_the_classes_by_their_numbers(key: str, value: object, classes: object) -> None:
    labels = found(classes, **{key: value})
    assert labels.names == NAMES
    assert labels.source == f"named by the package's {key!r}"
    assert labels.notes == ()


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (2, ("0", "1")),
        (CLASSES, ("0", "1")),
        (np.array([-1, 1]), ("-1", "1")),
        (np.array([False, True]), ("False", "True")),
        (np.array([1.0, 2.0, 2.5]), ("1", "2", "2.5")),
        (np.array(["0", "1"]), ("0", "1")),
    ],
    ids=str,
)
def test_classes_that_nothing_names_are_called_by_their_numbers_with_a_note_how_to_name_them(
    classes: object, names: tuple[str, ...]
) -> None:
    labels = found(classes)
    assert labels.names == names
    (note,) = labels.notes
    dots = ",".join("…" for _ in names)
    assert note.endswith(
        f'they are called {", ".join(names)}; name them with --labels "{dots}" in this order.'
    )


def test_a_model_whose_classes_have_names_keeps_them() -> None:
    labels = found(np.array(["ham", "spam"]))
    assert (labels.names, labels.notes) == (("ham", "spam"), ())


def test_a_package_may_repeat_the_models_own_names_in_any_order() -> None:
    own = np.array(["ham", "spam"])
    assert found(own, labels=["spam", "ham"]).names == ("ham", "spam")


def test_numbers_of_the_package_that_repeat_the_models_classes_name_nothing() -> None:
    labels = found(CLASSES, classes=[0, 1], label_encoder=LabelEncoder().fit(["terrible", "good"]))
    assert labels.names == NAMES


def test_given_labels_override_what_the_model_says() -> None:
    labels = found(CLASSES, ("bad", "fine"))
    assert (labels.names, labels.source) == (("bad", "fine"), "named by --labels")


def test_a_class_that_the_classifier_was_not_trained_on_is_no_gap_in_the_names_of_the_others() -> None:
    encoder = LabelEncoder().fit(["a", "b", "c"])
    labels = found(np.array([0, 2]), label_encoder=encoder)
    assert labels.names == ("a", "c")
    assert labels.notes == ("The package's 'label_encoder' also names b, which no class of the model is.",)


@pytest.mark.parametrize(
    ("classes", "package", "message"),
    [
        (
            CLASSES,
            {"label_encoder": LabelEncoder().fit(NAMES), "labels": ["terrible", "good"]},
            r"in two ways, 'label_encoder' \(0 is 'good', 1 is 'terrible'\), but 'labels' \(0 is 'terr",
        ),
        (np.array([0, 1, 2]), {"label_encoder": LabelEncoder().fit(NAMES)}, "but not the model's class 2"),
        (CLASSES, {"labels": ["a", "b", "c"]}, r"names 3 classes, 'labels' .*; the model has 2: 0, 1"),
        (2, {"id2label": {0: "a", 1: "b", 2: "c"}}, "names 3 classes"),
        (np.array(["ham", "spam"]), {"labels": ["no", "yes"]}, "but not the model's class 'ham'"),
        (CLASSES, {"labels": ["same", "same"]}, "each class needs a different name"),
        (CLASSES, {"labels": ["", "a"]}, "a name must not be blank"),
    ],
    ids=["conflict", "encoder too small", "list too long", "one too many", "other names", "same", "blank"],
)
def test_names_that_do_not_fit_are_refused(classes: object, package: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        found(classes, **package)


@pytest.mark.parametrize(
    "value",
    [
        {"good", "bad"},
        "good,bad",
        [],
        LabelEncoder(),
        {},
        [["a"], ["b"]],
        [["a"], ["b", "c"]],
        {"a": 0, "b": 10**400},
    ],
    ids=repr,
)
def test_a_value_that_names_nothing_is_refused(value: object) -> None:
    with pytest.raises(UnsupportedModel, match=r"package's 'labels' is .*; it must be a list of names"):
        read_class_names("labels", value)


@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [
        (CLASSES, ("a",), "the labels are a; the model has 2 classes"),
        (CLASSES, ("a", "a"), "each class needs a different name"),
        (CLASSES, ("1", "0"), "classes of the same names, but in the order 0, 1"),
        (np.array(["ham", "spam"]), ("spam", "ham"), "in the order ham, spam"),
        (1, ("a",), "has 1 class; a classifier needs at least 2"),
    ],
)
def test_given_labels_that_do_not_fit_are_refused(
    classes: object, labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        found(classes, labels)


def package(**entries: object) -> dict[str, object]:
    vectorizer = CountVectorizer()
    features = vectorizer.fit_transform(["fine film", "bad film", "so fine", "so bad"])
    return {"model": MultinomialNB().fit(features, [1, 0, 1, 0]), "vectorizer": vectorizer} | entries


def imported_labels(tmp_path: Path, content: object, **changes: Any) -> tuple[str, ...]:
    joblib.dump(content, tmp_path / "model.joblib")
    options = ImportOptions(name="imported", trust_pickle=True, **changes)
    return import_model(tmp_path / "model.joblib", options).manifest.labels


def test_a_label_encoder_is_used_under_any_key(tmp_path: Path) -> None:
    assert imported_labels(tmp_path, package(le=LabelEncoder().fit(NAMES))) == NAMES


def test_a_number_of_classes_names_nothing(tmp_path: Path) -> None:
    assert imported_labels(tmp_path, package(classes=2, labels=None)) == ("0", "1")


@pytest.mark.parametrize("classes", [2, CLASSES], ids=str)
def test_given_labels_in_another_order_than_the_packages_have_a_note(classes: object) -> None:
    labels = found(classes, ("terrible", "good"), id2label={0: "good", 1: "terrible"})
    assert labels.names == ("terrible", "good")
    assert labels.notes == (
        "--labels overrides the package's 'id2label', which names the same classes in another order: "
        "good, terrible.",
    )
    for others in [NAMES, ("bad", "fine")]:
        assert found(classes, others, id2label={0: "good", 1: "terrible"}).notes == ()


def test_an_encoder_that_given_labels_override_is_read_all_the_same(tmp_path: Path) -> None:
    joblib.dump(package(le=LabelEncoder().fit(NAMES), labels="unreadable"), tmp_path / "model.joblib")
    options = ImportOptions(name="imported", trust_pickle=True, labels=("terrible", "good"))
    card = import_model(tmp_path / "model.joblib", options).model_card
    assert "which names the same classes in another order: good, terrible" in card


def test_given_labels_override_the_package(tmp_path: Path) -> None:
    content = package(labels=["a", "b", "c"])
    assert imported_labels(tmp_path, content, labels=("bad", "fine")) == ("bad", "fine")
