"""What `evaluate` does with a model that gives a text one label, and with one that gives it several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from cli.evaluation_report import Evaluated, print_model, print_models
from cli.multilabel_report import print_multilabel_model, print_multilabel_models

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.explain.explanation import Explanation
    from classifier.pipeline import Classifier
    from training_import.dataset import Dataset
    from training_import.evaluation.comparison import McNemar
    from training_import.evaluation.errors_page import Source
    from training_import.evaluation.evaluate import MultilabelReport, Report
    from training_import.evaluation.groups import GroupMetrics
    from training_import.evaluation.mistakes import Mistakes
    from training_import.evaluation.multilabel import MultilabelGroup

Advance = Callable[[int], None]
"""Receives the number of texts of each finished part."""
AdvanceMistakes = Callable[[int, int], None]
"""Receives how many of how many mistakes are explained."""
Explain = Callable[[str, str | None], "Explanation"]
"""Explains a label of a text; None is the predicted one."""


class AnyGroup(Protocol):
    """The figures of a group, which are a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class AnyReport(Protocol):
    """What the reports of all kinds have."""

    @property
    def is_right(self) -> "NDArray[np.bool_]":
        """Whether the prediction of a text is right."""

    def as_json(self) -> dict[str, object]:
        """Return the figures over all texts."""


R = TypeVar("R", bound=AnyReport)
"""A report."""
G = TypeVar("G", bound=AnyGroup)
"""The figures of a group."""


@dataclass(frozen=True)
class Kind(Generic[R, G]):
    """What `evaluate` does with one kind of model."""

    evaluate: "Callable[[Classifier, Dataset, Advance], R]"
    """Predicts all texts of a data set."""
    groups: Callable[[Sequence[str], R], Sequence[G]]
    """Returns the figures of each group; it receives the group of each text."""
    print_model: Callable[[Evaluated[R, G], str], None]
    """Prints the figures of one model; it also receives the name of the data set."""
    print_models: "Callable[[Sequence[Evaluated[R, G]], str, Sequence[McNemar]], None]"
    """Prints the figures of several models."""
    write_plots: Callable[[R, Path, str], list[Path]]
    """Writes the plots into a folder, and returns their paths; it also receives what they are about."""
    find_mistakes: "Callable[[Dataset, R, Explain, int, AdvanceMistakes], Mistakes]"
    """Explains at most so many of the most confident mistakes."""
    write_errors_page: "Callable[[Path, Source, R, Mistakes], None]"
    """Writes the page of mistakes."""


def one_label(neutral_label: str | None) -> "Kind[Report, GroupMetrics]":
    """Return what is done with models that give each text exactly one label."""
    from training_import.evaluation.evaluate import evaluate
    from training_import.evaluation.groups import group_metrics
    from training_import.evaluation.mistakes import find_mistakes

    return Kind(
        evaluate=lambda classifier, dataset, advance: evaluate(classifier, dataset, advance, neutral_label),
        groups=lambda groups, report: group_metrics(
            groups, report.truth, report.predicted, report.probabilities
        ),
        print_model=print_model,
        print_models=print_models,
        write_plots=_write_plots,
        find_mistakes=lambda dataset, report, explain, most, advance: find_mistakes(
            dataset, report, lambda text: explain(text, None), most, advance
        ),
        write_errors_page=_write_errors_page,
    )


def several_labels() -> "Kind[MultilabelReport, MultilabelGroup]":
    """Return what is done with models that can give a text several labels, or none."""
    from training_import.evaluation.evaluate import evaluate_multilabel
    from training_import.evaluation.mistakes import find_multilabel_mistakes
    from training_import.evaluation.multilabel import multilabel_groups

    return Kind(
        evaluate=evaluate_multilabel,
        groups=lambda groups, report: multilabel_groups(groups, report.truth, report.predicted),
        print_model=print_multilabel_model,
        print_models=print_multilabel_models,
        write_plots=_write_multilabel_plots,
        find_mistakes=find_multilabel_mistakes,
        write_errors_page=_write_multilabel_errors_page,
    )


# Matplotlib and Jinja take long to import, and most evaluations need neither.


def _write_plots(report: "Report", folder: Path, subject: str) -> list[Path]:
    from training_import.evaluation.plots import write_plots

    return write_plots(report, folder, subject)


def _write_multilabel_plots(report: "MultilabelReport", folder: Path, subject: str) -> list[Path]:
    from training_import.evaluation.plots import write_multilabel_plots

    return write_multilabel_plots(report, folder, subject)


def _write_errors_page(path: Path, source: "Source", report: "Report", mistakes: "Mistakes") -> None:
    from training_import.evaluation.errors_page import write_errors_page

    write_errors_page(path, source, report, mistakes)


def _write_multilabel_errors_page(
    path: Path, source: "Source", report: "MultilabelReport", mistakes: "Mistakes"
) -> None:
    from training_import.evaluation.errors_page import write_multilabel_errors_page

    write_multilabel_errors_page(path, source, report, mistakes)
