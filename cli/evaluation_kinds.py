"""What `evaluate` does with a model that gives a text one label, and with one that gives it several."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

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


class Kind(Protocol[R, G]):
    """What `evaluate` does with one kind of model."""

    def evaluate(
        self, classifier: "Classifier", dataset: "Dataset", advance: Advance, neutral_label: str | None
    ) -> R:
        """Predict all texts of a data set."""

    def groups(self, groups: Sequence[str], report: R) -> Sequence[G]:
        """Return the figures of each group."""

    def print_model(self, model: Evaluated[R, G], data: str) -> None:
        """Print the figures of one model."""

    def print_models(self, models: Sequence[Evaluated[R, G]], data: str, tests: "Sequence[McNemar]") -> None:
        """Print the figures of several models."""

    def write_plots(self, report: R, folder: Path, subject: str) -> list[Path]:
        """Write the plots, and return their paths."""

    def find_mistakes(
        self, dataset: "Dataset", report: R, explain: Explain, most: int, advance: AdvanceMistakes
    ) -> "Mistakes":
        """Explain the most confident mistakes."""

    def write_errors_page(self, path: Path, source: "Source", report: R, mistakes: "Mistakes") -> None:
        """Write the page of mistakes."""


class OneLabel:
    """A model that gives each text exactly one label."""

    def evaluate(
        self, classifier: "Classifier", dataset: "Dataset", advance: Advance, neutral_label: str | None
    ) -> "Report":
        """Predict all texts of a data set."""
        from training_import.evaluation.evaluate import evaluate

        return evaluate(classifier, dataset, advance, neutral_label)

    def groups(self, groups: Sequence[str], report: "Report") -> "Sequence[GroupMetrics]":
        """Return the figures of each group."""
        from training_import.evaluation.groups import group_metrics

        return group_metrics(groups, report.truth, report.predicted, report.probabilities)

    def print_model(self, model: "Evaluated[Report, GroupMetrics]", data: str) -> None:
        """Print the figures of one model."""
        print_model(model, data)

    def print_models(
        self, models: "Sequence[Evaluated[Report, GroupMetrics]]", data: str, tests: "Sequence[McNemar]"
    ) -> None:
        """Print the figures of several models."""
        print_models(models, data, tests)

    def write_plots(self, report: "Report", folder: Path, subject: str) -> list[Path]:
        """Write the plots, and return their paths."""
        from training_import.evaluation.plots import write_plots

        return write_plots(report, folder, subject)

    def find_mistakes(
        self, dataset: "Dataset", report: "Report", explain: Explain, most: int, advance: AdvanceMistakes
    ) -> "Mistakes":
        """Explain the most confident mistakes."""
        from training_import.evaluation.mistakes import find_mistakes

        return find_mistakes(dataset, report, lambda text: explain(text, None), most, advance)

    def write_errors_page(self, path: Path, source: "Source", report: "Report", mistakes: "Mistakes") -> None:
        """Write the page of mistakes."""
        from training_import.evaluation.errors_page import write_errors_page

        write_errors_page(path, source, report, mistakes)


class SeveralLabels:
    """A model that can give a text several labels, or none."""

    def evaluate(
        self, classifier: "Classifier", dataset: "Dataset", advance: Advance, neutral_label: str | None
    ) -> "MultilabelReport":
        """Predict all texts of a data set; there is no neutral label."""
        from training_import.evaluation.evaluate import evaluate_multilabel

        del neutral_label
        return evaluate_multilabel(classifier, dataset, advance)

    def groups(self, groups: Sequence[str], report: "MultilabelReport") -> "Sequence[MultilabelGroup]":
        """Return the figures of each group."""
        from training_import.evaluation.multilabel import multilabel_groups

        return multilabel_groups(groups, report.truth, report.predicted)

    def print_model(self, model: "Evaluated[MultilabelReport, MultilabelGroup]", data: str) -> None:
        """Print the figures of one model."""
        print_multilabel_model(model, data)

    def print_models(
        self,
        models: "Sequence[Evaluated[MultilabelReport, MultilabelGroup]]",
        data: str,
        tests: "Sequence[McNemar]",
    ) -> None:
        """Print the figures of several models."""
        print_multilabel_models(models, data, tests)

    def write_plots(self, report: "MultilabelReport", folder: Path, subject: str) -> list[Path]:
        """Write the plots, and return their paths."""
        from training_import.evaluation.plots import write_multilabel_plots

        return write_multilabel_plots(report, folder, subject)

    def find_mistakes(
        self,
        dataset: "Dataset",
        report: "MultilabelReport",
        explain: Explain,
        most: int,
        advance: AdvanceMistakes,
    ) -> "Mistakes":
        """Explain the most confident mistakes."""
        from training_import.evaluation.mistakes import find_multilabel_mistakes

        return find_multilabel_mistakes(dataset, report, explain, most, advance)

    def write_errors_page(
        self, path: Path, source: "Source", report: "MultilabelReport", mistakes: "Mistakes"
    ) -> None:
        """Write the page of mistakes."""
        from training_import.evaluation.errors_page import write_multilabel_errors_page

        write_multilabel_errors_page(path, source, report, mistakes)
