"""The plots of an evaluation: readable with 2 and 20 classes, and named."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_import.evaluation.evaluate import Report
from training_import.evaluation.metrics import evaluate_probabilities
from training_import.evaluation.plots import (
    MAX_COLOURED_CURVES,
    confusion_plot,
    cut,
    cut_apart,
    reliability_plot,
    roc_plot,
    thresholds_plot,
)

SUBJECT = "news:latest on test.csv"
PLOTS = [confusion_plot, reliability_plot, roc_plot, thresholds_plot]


def report(classes: int, rows: int = 400) -> Report:
    """A made-up report on classes with long names that begin alike."""
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.full(classes, 0.5), rows)
    truth = np.where(generator.random(rows) < 0.7, probabilities.argmax(axis=1), np.arange(rows) % classes)
    labels = [f"everything that is about the subject number {number}" for number in range(classes)]
    predicted = probabilities.argmax(axis=1)
    figures = evaluate_probabilities(labels, truth, predicted, probabilities)
    return Report(figures, 1.0, truth, predicted, probabilities)


def title(figure: Figure) -> str:
    return " ".join(figure.get_suptitle().split())


def overlaps(axes: Axes, kind: str) -> bool:
    """Whether a name of the ticks of an axis begins before the last one has ended."""
    boxes = [text.get_window_extent() for text in getattr(axes, f"get_{kind}ticklabels")()]
    if kind == "x":
        return any(one.x1 > next_.x0 for one, next_ in pairwise(boxes))
    return any(one.y0 < next_.y1 for one, next_ in pairwise(boxes))


def test_a_text_that_fits_is_not_cut() -> None:
    assert cut("World", 5) == "World"


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    assert cut("World news", 7) == "World…"


def test_a_dollar_sign_does_not_begin_a_formula() -> None:
    assert cut("5 $ or 6 $", 20) == r"5 \$ or 6 \$"


def test_names_that_would_be_cut_to_the_same_begin_with_their_numbers() -> None:
    assert cut_apart(["subject one", "subject two"], 9) == ["1 subjec…", "2 subjec…"]


@pytest.mark.parametrize("draw", PLOTS)
def test_each_plot_names_the_model_and_the_data(draw) -> None:
    assert title(draw(report(3), SUBJECT)).endswith(SUBJECT)


@pytest.mark.parametrize("classes", [2, 20])
def test_the_names_of_the_confusion_matrix_do_not_overlap(classes: int) -> None:
    figure = confusion_plot(report(classes), SUBJECT)
    figure.draw_without_rendering()
    assert not [kind for kind in ("x", "y") if overlaps(figure.axes[0], kind)]


def test_the_confusion_matrix_has_a_count_in_each_cell() -> None:
    expected = report(20)
    counts = [int(text.get_text()) for text in confusion_plot(expected, SUBJECT).axes[0].texts]
    assert counts == [count for row in expected.evaluation.confusion for count in row]


def test_a_row_of_the_confusion_matrix_is_coloured_by_its_shares() -> None:
    image = confusion_plot(report(20), SUBJECT).axes[0].images[0].get_array()
    assert np.asarray(image).sum(axis=1) == pytest.approx(np.ones(20))


def test_each_bin_of_the_reliability_plot_has_its_count() -> None:
    counts = reliability_plot(report(3), SUBJECT).axes[1].texts
    assert sum(int(text.get_text()) for text in counts) == 400


def test_the_legend_of_many_roc_curves_has_the_lowest_and_highest_areas_and_the_mean() -> None:
    (legend,) = roc_plot(report(20), SUBJECT).legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert len(shown) == MAX_COLOURED_CURVES + 3
    assert shown[1] == f"{20 - MAX_COLOURED_CURVES} other classes, areas in between"
    assert shown[-1].startswith("mean of 20 classes, area ")


def test_the_legend_of_the_roc_plot_is_below_the_curves() -> None:
    figure = roc_plot(report(20), SUBJECT)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 <= figure.axes[0].get_window_extent().y0


def test_two_classes_have_one_roc_curve() -> None:
    (legend,) = roc_plot(report(2), SUBJECT).legends
    assert len(legend.get_texts()) == 2
