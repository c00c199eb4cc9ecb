"""The figures of predictions with several labels a text, compared with those of scikit-learn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from explained import explained
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn import metrics

from classifier.errors import ClassifierError
from classifier.explain.explanation import Explanation
from training_import.dataset import Dataset
from training_import.evaluation.errors_page import Source, write_multilabel_errors_page
from training_import.evaluation.evaluate import MultilabelReport
from training_import.evaluation.metrics import expected_calibration_error
from training_import.evaluation.mistakes import Mistakes, find_multilabel_mistakes
from training_import.evaluation.multilabel import (
    MultilabelEvaluation,
    best_threshold,
    evaluate_label_probabilities,
    label_reliability,
    label_truth,
    multilabel_groups,
)
from training_import.evaluation.plots import (
    multilabel_reliability_plot,
    multilabel_roc_plot,
    multilabel_thresholds_plot,
    write_multilabel_plots,
)

LABELS = ("anger", "fear", "joy", "sadness")
THRESHOLDS = (0.5, 0.3, 0.7, 0.9)

Case = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]


def random_case(seed: int, rows: int = 200) -> Case:
    """The truth, the predictions and the probabilities of texts, each (rows, 4)."""
    generator = np.random.default_rng(seed)
    probabilities = generator.random((rows, 4)).round(3)
    truth = generator.random((rows, 4)) < (0.2 + 0.6 * probabilities)
    return truth, probabilities >= THRESHOLDS, probabilities


def figures(case: Case) -> MultilabelEvaluation:
    return evaluate_label_probabilities(LABELS, *case, THRESHOLDS)


def report(case: Case) -> MultilabelReport:
    return MultilabelReport(figures(case), 1.0, *case)


@pytest.mark.parametrize("written", ['["joy", "fear"]', "['joy', 'fear']", "[]"])
def test_a_list_that_was_written_as_a_text_is_no_separated_cell(written: str) -> None:
    with pytest.raises(ClassifierError, match="save the lists as JSON or Parquet"):
        label_truth(Dataset("data.csv", "", ["a text"], [written]), LABELS)


@pytest.mark.parametrize("seed", range(5))
def test_the_averages_are_those_of_scikit_learn(seed: int) -> None:
    truth, predicted, _ = case = random_case(seed)
    found = figures(case)
    for average, ours in (("micro", found.micro), ("macro", found.macro)):
        *expected, _ = metrics.precision_recall_fscore_support(truth, predicted, average=average)
        assert ours is not None
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_the_figures_over_all_texts_are_those_of_scikit_learn(seed: int) -> None:
    truth, predicted, probabilities = case = random_case(seed)
    found = figures(case)
    assert found.subset_accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found.hamming_loss == pytest.approx(metrics.hamming_loss(truth, predicted))
    losses = [metrics.log_loss(truth[:, column], probabilities[:, column]) for column in range(4)]
    assert found.log_loss == pytest.approx(np.mean(losses))


def test_the_figures_of_each_label_are_those_of_scikit_learn() -> None:
    truth, predicted, probabilities = case = random_case(7)
    expected = zip(*metrics.precision_recall_fscore_support(truth, predicted), strict=True)
    areas = metrics.roc_auc_score(truth, probabilities, average=None)
    precisions = metrics.average_precision_score(truth, probabilities, average=None)
    for row, values, area, precision in zip(figures(case).by_label, expected, areas, precisions, strict=True):
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(values)
        assert (row.roc_auc, row.average_precision) == pytest.approx((area, precision))


def test_each_label_has_the_threshold_that_it_was_predicted_with() -> None:
    assert tuple(row.threshold for row in figures(random_case(1)).by_label) == THRESHOLDS


def test_the_figures_of_three_texts_by_hand() -> None:
    truth = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], bool)
    predicted = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]], bool)
    found = figures((truth, predicted, np.where(predicted, 0.75, 0.25)))
    assert found.subset_accuracy == pytest.approx(1 / 3)
    assert found.hamming_loss == pytest.approx(2 / 12)
    assert found.micro.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert (found.labels_per_text, found.predicted_labels_per_text) == pytest.approx((1, 1))
    assert [row.support for row in found.by_label] == [1, 1, 1, 0]


def test_a_label_without_texts_is_not_in_the_macro_average_and_has_no_best_threshold() -> None:
    truth, predicted, probabilities = random_case(2)
    truth[:, 3] = False
    found = figures((truth, predicted, probabilities))
    assert found.macro is not None
    assert found.macro.f1 == pytest.approx(metrics.f1_score(truth[:, :3], predicted[:, :3], average="macro"))
    last = found.by_label[3]
    assert (last.support, last.average_precision, last.roc_auc, last.best) == (0, None, None, None)


def test_a_label_that_all_texts_have_has_no_roc_auc() -> None:
    truth, predicted, probabilities = random_case(2)
    truth[:, 0] = True
    first = figures((truth, predicted, probabilities)).by_label[0]
    assert (first.roc_auc, first.average_precision) == (None, 1.0)


def test_texts_without_any_label_have_figures_too() -> None:
    truth, predicted, probabilities = np.zeros((3, 4), bool), np.zeros((3, 4), bool), np.full((3, 4), 0.25)
    found = figures((truth, predicted, probabilities))
    assert (found.subset_accuracy, found.hamming_loss, found.micro.f1, found.macro) == (1.0, 0.0, 0.0, None)


@pytest.mark.parametrize("seed", range(3))
def test_ece_is_the_mean_gap_of_all_pairs_of_a_text_and_a_label(seed: int) -> None:
    truth, _, probabilities = case = random_case(seed)
    places = np.minimum((15 * probabilities).astype(int), 14)
    gaps = [
        (places == place).sum() * abs(probabilities[places == place].mean() - truth[places == place].mean())
        for place in np.unique(places)
    ]
    assert figures(case).ece == pytest.approx(sum(gaps) / truth.size)


def test_ece_is_zero_if_labels_are_as_frequent_as_their_probabilities() -> None:
    truth = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], bool)
    assert expected_calibration_error(label_reliability(truth, np.full((2, 4), 0.25))) == pytest.approx(0)


PROBABILITIES = arrays(
    np.float64, st.integers(1, 12), elements=st.sampled_from([0.0, 1e-9, 0.2, 0.25, 0.2500001, 0.9, 1.0])
)


@given(PROBABILITIES, st.data())
def test_no_other_threshold_has_a_better_f1_than_the_best_one(
    probabilities: NDArray[np.float64], data: st.DataObject
) -> None:
    count = len(probabilities)
    has_label = data.draw(arrays(np.bool_, count))
    best = best_threshold(has_label, probabilities)
    if best is None:
        assert not has_label.any()
        return

    def f1(threshold: float) -> float:
        return float(metrics.f1_score(has_label, probabilities >= threshold, zero_division=0.0))

    assert 0 <= best.threshold <= 1
    assert f1(best.threshold) == pytest.approx(best.f1)
    assert best.f1 >= max(map(f1, probabilities)) - 1e-12


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_best_threshold_is_between_the_two_probabilities(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        best = best_threshold(np.array([False, True]), np.array([low, high]))
        assert best is not None
        assert low < best.threshold <= high


def test_a_best_threshold_has_few_digits() -> None:
    best = best_threshold(np.array([False, True]), np.array([0.3141592, 0.5772156]))
    assert best is not None
    assert best.threshold == 0.4


def test_groups_have_the_figures_of_their_texts() -> None:
    truth, predicted, _ = random_case(4, rows=20)
    names = ["b", "a"] * 10
    found = multilabel_groups(names, truth, predicted)
    assert [group.group for group in found] == ["b", "a"]
    for start, group in enumerate(found):
        rows = slice(start, None, 2)
        assert group.texts == 10
        assert group.micro_f1 == pytest.approx(
            metrics.f1_score(truth[rows], predicted[rows], average="micro")
        )
        assert group.hamming_loss == pytest.approx(metrics.hamming_loss(truth[rows], predicted[rows]))
        assert group.subset_accuracy == pytest.approx(metrics.accuracy_score(truth[rows], predicted[rows]))


def dataset(*sets: Sequence[str]) -> Dataset:
    texts = [f"text {number}" for number in range(len(sets))]
    return Dataset("made-up.csv", "5" * 64, texts, [], label_sets=[tuple(one) for one in sets])


def test_the_truth_of_several_labels() -> None:
    truth = label_truth(dataset(["joy", "anger"], [], ["fear"]), LABELS)
    assert truth.astype(int).tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_the_truth_of_single_labels_has_one_label_each() -> None:
    truth = label_truth(Dataset("made-up.csv", "", ["a", "b"], ["joy", "fear"]), LABELS)
    assert truth.argmax(axis=1).tolist() == [2, 1]
    assert truth.sum() == 2


def test_a_label_is_that_of_the_class_which_files_spell_like_it() -> None:
    assert label_truth(dataset(["1", "2"]), ("1.0", "2.0")).tolist() == [[True, True]]


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ClassifierError) as caught:
        label_truth(dataset(["joy"], ["zest", "boredom"]), LABELS)
    assert str(caught.value) == "label 'boredom' is none of the classes anger, fear, joy, sadness"


@pytest.mark.parametrize("separator", ["|", ";", ",", "/"])
def test_an_unknown_label_with_a_separator_hints_at_the_option(separator: str) -> None:
    with pytest.raises(ClassifierError) as caught:
        label_truth(Dataset("made-up.csv", "", ["a"], [f"joy{separator}fear"]), LABELS)
    assert str(caught.value).endswith(f"; if it is several labels, add --label-separator {separator!r}")


def mistakes(case: Case, most: int = 1000) -> Mistakes:
    truth, *_ = case

    def explain(text: str, _label: str) -> Explanation:
        return explained(text, {})

    return find_multilabel_mistakes(dataset(*[()] * len(truth)), report(case), explain, most)


def test_a_mistake_is_a_label_that_is_missing_or_surplus_the_surest_first() -> None:
    truth = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], bool)
    probabilities = np.array([[0.1, 0.2, 0.8, 0.0], [0.0, 0.6, 0.0, 0.95]])
    found = mistakes((truth, probabilities >= THRESHOLDS, probabilities))
    assert [(one.place, one.truth, one.predicted, one.confidence) for one in found.worst] == [
        ("text 2", "without sadness", "sadness", 0.95),
        ("text 1", "anger", "without anger", 0.9),
        ("text 1", "without joy", "joy", 0.8),
    ]


@given(st.integers(0, 100), st.integers(1, 50))
def test_there_are_as_many_mistakes_as_wrong_pairs(seed: int, most: int) -> None:
    truth, predicted, _ = case = random_case(seed, rows=20)
    found = mistakes(case, most)
    assert found.total == (truth != predicted).sum()
    assert len(found.worst) == min(most, found.total)
    confidence = [one.confidence for one in found.worst]
    assert confidence == sorted(confidence, reverse=True)


def test_the_page_of_mistakes_counts_pairs_of_a_text_and_a_label(tmp_path: Path) -> None:
    case = random_case(1, rows=20)
    found = mistakes(case, 5)
    source = Source("moods:latest", "d" * 64, "made-up.csv", "5" * 64)
    write_multilabel_errors_page(tmp_path / "errors.html", source, report(case), found)
    page = (tmp_path / "errors.html").read_text(encoding="utf-8")
    assert f"{found.total} of 80 pairs of a text and a label are wrong" in page
    assert f"<dt>Micro F1</dt><dd>{figures(case).micro.f1:.4f}</dd>" in page
    assert "words speak for the label that is missing or wrong" in page
    assert "Accuracy" not in page


def curves(figure: Figure) -> dict[str, NDArray[np.float64]]:
    """The y values of each line of the first axes, by its name."""
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in figure.axes[0].lines}


def test_the_roc_plot_has_a_curve_for_each_label_and_their_mean() -> None:
    names = set(curves(multilabel_roc_plot(report(random_case(1)), "moods")))
    assert {name.split(",")[0] for name in names} == {*LABELS, "chance", "mean of 4 labels"}


def test_the_thresholds_plot_has_micro_precision_recall_and_f1() -> None:
    truth, _, probabilities = case = random_case(1)
    found = curves(multilabel_thresholds_plot(report(case), "moods"))
    *expected, _ = metrics.precision_recall_fscore_support(truth, probabilities >= 0.5, average="micro")
    assert [found[name][50] for name in ("precision", "recall", "F1")] == pytest.approx(expected)


def test_the_reliability_plot_names_its_pairs() -> None:
    upper, lower = multilabel_reliability_plot(report(random_case(1)), "moods").axes
    assert upper.get_ylabel() == "share of texts with the label"
    assert lower.get_ylabel() == "pairs of text and label"


def test_the_plots_have_no_confusion_matrix_and_need_no_labelled_text(tmp_path: Path) -> None:
    none = np.zeros((3, 4), bool)
    paths = write_multilabel_plots(report((none, none, np.full((3, 4), 0.25))), tmp_path, "moods")
    assert [path.name for path in paths] == ["reliability.png", "roc.png", "thresholds.png"]
    assert all(path.is_file() for path in paths)
