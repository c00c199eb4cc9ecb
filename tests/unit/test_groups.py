"""Figures for each group of texts: the calculation, the file of sentences, and the command."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistaken import explaining
from tiny import BINARY_LABELS, tiny_artifact, write_tiny
from typer.testing import CliRunner, Result

import model_store
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier
from cli.app import app
from training_import.dataset import Dataset, read_dataset
from training_import.evaluation.evaluate import evaluate
from training_import.evaluation.groups import (
    CONFIDENT,
    MAX_GROUPS,
    GroupMetrics,
    evaluate_groups,
    group_metrics,
    groups_of,
    read_groups,
)
from training_import.evaluation.metrics import NO_CLASS, class_indices
from training_import.evaluation.mistakes import find_mistakes
from training_import.evaluation.plots import write_plots
from training_import.rows import DatasetError

Row = tuple[str, str, str, str]
"""A text, its label, its group and its part."""

ROWS: list[Row] = [
    ("a great film", "positive", "praise", "choose"),
    ("an awful film", "negative", "blame", "final"),
    ("great, they say", "negative", "blame", "choose"),
    ("two hours", "neutral", "facts", "final"),
    ("great great film in two parts", "neutral", "facts", "choose"),
]
"""The tiny model is right about the first two, and wrong about the third."""


@pytest.fixture(scope="module", autouse=True)
def _stored(tmp_path_factory: pytest.TempPathFactory) -> None:
    model_store.save(write_tiny(tmp_path_factory.mktemp("groups"), name="grouped"))


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(tiny_artifact())


def write(path: Path, rows: Sequence[Row] = ROWS) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "group", "part"), *rows])
    return path


def dataset_of(rows: Sequence[Row] = ROWS) -> Dataset:
    return Dataset("rows.csv", "5" * 64, [row[0] for row in rows], [row[1] for row in rows])


def metrics_of(
    groups: Sequence[str], truth: Sequence[int], predicted: Sequence[int], confidence: Sequence[float]
) -> tuple[GroupMetrics, ...]:
    """The figures for predictions of two classes."""
    chosen = np.array(predicted, np.intp)
    probabilities = np.repeat(1 - np.array(confidence)[:, None], 2, axis=1)
    probabilities[np.arange(len(chosen)), chosen] = confidence
    return group_metrics(groups, np.array(truth, np.intp), chosen, probabilities)


def test_the_figures_of_two_groups_by_hand() -> None:
    found = metrics_of(["b", "a", "b", "b"], [0, 1, 1, 0], [0, 1, 0, 0], [0.9, 0.6, 0.75, 0.75])
    assert [(one.group, one.texts, one.labelled) for one in found] == [("b", 3, 3), ("a", 1, 1)]
    assert [one.accuracy for one in found] == pytest.approx([2 / 3, 1.0])
    assert [one.mean_confidence for one in found] == pytest.approx([0.8, 0.6])
    assert [one.confident_share for one in found] == pytest.approx([1 / 3, 0.0])


def test_a_group_without_a_right_class_has_no_accuracy_and_a_share_of_confident_predictions() -> None:
    (facts,) = metrics_of(["facts"] * 4, [NO_CLASS] * 4, [0, 1, 1, 1], [0.95, 0.85, 0.55, 0.65])
    assert (facts.accuracy, facts.texts, facts.labelled) == (None, 4, 0)
    assert facts.mean_confidence == pytest.approx(0.75)
    assert facts.confident_share == 0.5


def test_the_accuracy_of_a_mixed_group_is_over_its_texts_with_a_right_class() -> None:
    (mixed,) = metrics_of(["a"] * 3, [1, 0, NO_CLASS], [1, 1, 1], [0.9, 0.9, 0.6])
    assert (mixed.accuracy, mixed.labelled, mixed.texts) == (0.5, 2, 3)
    assert mixed.mean_confidence == pytest.approx(0.8)


def test_a_confidence_at_the_bound_is_not_confident() -> None:
    (only,) = metrics_of(["a"], [1], [1], [CONFIDENT])
    assert only.confident_share == 0.0


def test_groups_whose_names_differ_only_in_an_end_of_string_stay_apart() -> None:
    assert [one.group for one in metrics_of(["a", "a\0"], [1, 1], [1, 1], [0.9, 0.9])] == ["a", "a\0"]


CASES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([NO_CLASS, 0, 1]),
        st.sampled_from([0, 1]),
        st.floats(0.5, 1),
    ),
    min_size=1,
    max_size=30,
)


@given(CASES)
def test_the_mean_of_the_groups_weighted_by_their_sizes_is_the_figure_of_all_texts(
    rows: list[tuple[str, int, int, float]],
) -> None:
    groups, truth, predicted, confidence = zip(*rows, strict=True)
    found = metrics_of(groups, truth, predicted, confidence)
    (whole,) = metrics_of(["all"] * len(rows), truth, predicted, confidence)
    assert sum(one.texts for one in found) == whole.texts
    assert sum(one.labelled for one in found) == whole.labelled
    for name in ("mean_confidence", "confident_share"):
        weighted = sum(getattr(one, name) * one.texts for one in found) / whole.texts
        assert weighted == pytest.approx(getattr(whole, name))
    right = sum(one.accuracy * one.labelled for one in found if one.accuracy is not None)
    assert right == pytest.approx((whole.accuracy or 0) * whole.labelled)


def test_a_model_is_evaluated_by_group(classifier: Classifier) -> None:
    labels = [None if label == "neutral" else label for _, label, *_ in ROWS]
    found = evaluate_groups(classifier, [row[0] for row in ROWS], labels, [row[2] for row in ROWS])
    assert [(one.group, one.accuracy) for one in found] == [("praise", 1.0), ("blame", 0.5), ("facts", None)]
    confidence = [one.confidence for one in classifier.predict([row[0] for row in ROWS])]
    assert found[0].mean_confidence == pytest.approx(confidence[0])
    assert found[2].mean_confidence == pytest.approx(np.mean(confidence[3:]))


def test_a_group_is_evaluated_with_the_threshold_of_the_model() -> None:
    strict = Classifier(tiny_artifact(threshold=0.99))
    (only,) = evaluate_groups(strict, ["a great film"], ["positive"], ["praise"])
    assert only.accuracy == 0.0


def test_a_label_that_is_not_a_class_is_refused_for_a_group(classifier: Classifier) -> None:
    with pytest.raises(ClassifierError, match="'neutral' is none of the classes negative, positive"):
        evaluate_groups(classifier, ["two hours"], ["neutral"], ["facts"])


def test_no_label_has_no_class() -> None:
    assert class_indices([None, "positive", "negative"], BINARY_LABELS).tolist() == [NO_CLASS, 1, 0]


def test_a_file_of_groups_is_read_with_none_for_the_neutral_label(tmp_path: Path) -> None:
    read = read_groups(write(tmp_path / "rows.csv"))
    assert read.name == "rows.csv"
    assert read.texts == tuple(row[0] for row in ROWS)
    assert read.labels == ("positive", "negative", "negative", None, None)
    assert read.groups == ("praise", "blame", "blame", "facts", "facts")


def test_one_part_of_a_file_of_groups_is_read_with_the_digest_of_the_whole_file(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv")
    read = read_groups(path, "final")
    assert (read.texts, read.labels, read.groups) == (
        ("an awful film", "two hours"),
        ("negative", None),
        ("blame", "facts"),
    )
    assert read.sha256 == read_groups(path).sha256


def test_a_part_that_a_file_of_groups_does_not_have_is_named_with_those_that_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv")
    with pytest.raises(
        DatasetError, match=f"^{re.escape(str(path))} has no part 'test'; it has choose, final$"
    ):
        read_groups(path, "test")


@pytest.mark.parametrize("column", ["group", "part"])
def test_a_file_of_groups_needs_all_its_columns(tmp_path: Path, column: str) -> None:
    path = write(tmp_path / "rows.csv")
    path.write_text(path.read_text(encoding="utf-8").replace(column, "other", 1), encoding="utf-8")
    with pytest.raises(DatasetError, match=f"there is no column '{column}'.*; it has 'text', 'label', .*'$"):
        read_groups(path)


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_row_without_a_group_is_skipped(tmp_path: Path, blank: str) -> None:
    path = write(tmp_path / "rows.csv", [("a film", "positive", blank, "final"), *ROWS])
    assert read_groups(path).groups == tuple(row[2] for row in ROWS)


def test_a_row_without_a_text_leaves_each_other_row_its_group(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", [ROWS[0], ("", "negative", "other", "final"), *ROWS[1:]])
    read = read_groups(path)
    assert (read.texts, read.groups) == (tuple(row[0] for row in ROWS), tuple(row[2] for row in ROWS))


@pytest.mark.parametrize("extra", [0, 1])
def test_a_column_with_too_many_groups_is_refused(tmp_path: Path, extra: int) -> None:
    rows = [("a film", "positive", f"group {number}", "final") for number in range(MAX_GROUPS + extra)]
    path = write(tmp_path / "rows.csv", rows)
    if not extra:
        assert len(groups_of(read_dataset(path, more_columns={"group": None}), "group")) == MAX_GROUPS
        return
    with pytest.raises(DatasetError, match="has 101 groups in the column 'group'; it may have 100"):
        groups_of(read_dataset(path, more_columns={"group": None}), "group")


def test_texts_with_the_neutral_label_are_in_no_figure_over_all_texts(classifier: Classifier) -> None:
    report = evaluate(classifier, dataset_of(), neutral_label="neutral")
    assert report.evaluation == evaluate(classifier, dataset_of(ROWS[:3])).evaluation
    assert report.truth.tolist() == [1, 0, 0, NO_CLASS, NO_CLASS]


def test_a_neutral_text_is_not_a_mistake_and_a_mistake_keeps_its_row(classifier: Classifier) -> None:
    dataset = dataset_of(ROWS[::-1])
    report = evaluate(classifier, dataset, neutral_label="neutral")
    (mistake,) = find_mistakes(dataset, report, explaining(), 10).worst
    assert (mistake.place, mistake.text) == ("text 3", "great, they say")


def test_plots_show_no_neutral_text(classifier: Classifier, tmp_path: Path) -> None:
    write_plots(evaluate(classifier, dataset_of(), neutral_label="neutral"), tmp_path / "all", "tiny")
    write_plots(evaluate(classifier, dataset_of(ROWS[:3])), tmp_path / "labelled", "tiny")
    for path in (tmp_path / "labelled").iterdir():
        assert path.read_bytes() == (tmp_path / "all" / path.name).read_bytes()


def test_a_neutral_label_that_is_a_class_is_refused(classifier: Classifier) -> None:
    with pytest.raises(
        ClassifierError, match="neutral label 'positive' is one of the classes negative, positive"
    ):
        evaluate(classifier, dataset_of(), neutral_label="positive")


def test_a_data_set_with_only_neutral_texts_is_refused(classifier: Classifier) -> None:
    with pytest.raises(
        ClassifierError, match=r"^rows\.csv has only the neutral label 'neutral'; at least one"
    ):
        evaluate(classifier, dataset_of(ROWS[3:]), neutral_label="neutral")


def run(path: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", "--data", str(path), "--model", "grouped", *words])


GROUPS = ["--group-column", "group", "--neutral-label", "neutral"]


def test_the_command_prints_a_row_for_each_group(tmp_path: Path) -> None:
    result = run(write(tmp_path / "rows.csv"), *GROUPS)
    assert result.exit_code == 0, result.output
    rows = [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines()]
    cells = {row[0]: row[1:] for row in rows}
    assert cells["praise"][:3] == ["1", "1", "100.00 %"]
    assert cells["blame"][:3] == ["2", "2", "50.00 %"]
    assert cells["facts"][:3] == ["2", "0", "–"]
    assert cells["facts"][4] == "50.00 %"


def test_the_json_of_the_command_has_the_figures_of_each_group(
    tmp_path: Path, classifier: Classifier
) -> None:
    result = run(write(tmp_path / "rows.csv"), *GROUPS, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    assert answer["rows"] == 3
    read = read_groups(tmp_path / "rows.csv")
    expected = evaluate_groups(classifier, read.texts, read.labels, read.groups)
    assert [GroupMetrics(**group) for group in answer["groups"]] == list(expected)


def test_rows_that_are_skipped_are_on_standard_error(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", [*ROWS[:3], ("", "negative", "blame", "final")])
    result = run(path, "--json")
    assert json.loads(result.stdout)["rows"] == 3
    assert "rows.csv: 1 row is skipped: 1 no text\n  line 5: 'text' is ''; it must " in result.stderr


def test_a_long_name_of_a_group_is_printed_completely(tmp_path: Path) -> None:
    name = "".join(chr(ord("a") + number % 26) for number in range(100))
    shown = run(
        write(tmp_path / "rows.csv", [("a great film", "positive", name, "final"), *ROWS[:3]]), *GROUPS
    )
    assert name in "".join(line.split("  ")[0] for line in shown.stdout.splitlines())


def test_without_a_column_of_groups_the_command_prints_none(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ROWS[:3])
    assert "labelled" not in run(path).stdout
    assert "groups" not in json.loads(run(path, "--json").stdout)


def test_the_name_of_a_group_is_printed_as_it_is_but_for_control_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", [("a film", "positive", "[/red] \x1b[2J", "final"), *ROWS[:3]])
    shown = run(path, "--group-column", "group").stdout
    assert "[/red]  [2J" in shown
    assert "\x1b" not in shown


def test_a_column_of_groups_that_is_not_there_is_named_with_its_option(tmp_path: Path) -> None:
    result = run(write(tmp_path / "rows.csv"), "--group-column", "kind")
    assert "there is no column 'kind'" in str(result.exception)
    assert str(result.exception).endswith("name the right one with --group-column")


def test_an_empty_name_of_the_column_of_groups_is_refused(tmp_path: Path) -> None:
    result = run(write(tmp_path / "rows.csv", ROWS[:3]), "--group-column", "")
    assert "there is no column ''" in str(result.exception)


def test_a_neutral_label_without_a_column_of_groups_is_refused(tmp_path: Path) -> None:
    result = run(write(tmp_path / "rows.csv"), "--neutral-label", "neutral")
    assert result.exit_code == 2
    assert "--neutral-label is given without --group-column" in " ".join(result.output.split())
