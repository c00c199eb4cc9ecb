"""The command that evaluates one model or several."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.console import err, harmless, new_app
from cli.evaluation_kinds import G, Kind, R, one_label, several_labels
from cli.evaluation_report import Evaluated
from cli.progress import counting
from cli.reading import print_reading
from cli.text_files import (
    DEFAULT_LABEL_COLUMN,
    Data,
    Encoding,
    LabelColumnName,
    LabelColumns,
    LabelSeparator,
    MaxBadRows,
    TextColumnName,
    label_source,
)
from training_import.rows import MAX_BAD_SHARE

if TYPE_CHECKING:
    from classifier.artifact import TrainingData
    from classifier.pipeline import Classifier
    from training_import.dataset import Dataset
    from training_import.evaluation.comparison import McNemar

app = new_app()


@dataclass(frozen=True)
class _Outputs:
    """What the command makes of the figures."""

    as_json: bool
    plots: Path | None
    errors: Path | None
    most_errors: int
    max_runs: int
    """Most runs of the model for the explanation of one mistake."""


DEFAULT_ERRORS = 200
MAX_ERRORS = 2000
"""Most mistakes that `evaluate` explains. A page with so many has 10 to 20 MB."""


def check_folder(path: Path | None) -> Path | None:
    """Refuse a file whose folder does not exist, before any work."""
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"{path.parent} is not a folder")
    return path


@app.command(epilog="Example: `text-classifier evaluate --data test.csv --plots plots/`")
def evaluate(
    data: Data,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Tag in the store; repeat it to compare models, each with the first. "
            "Default: the model that the settings name.",
            show_default=False,
        ),
    ] = None,
    text_column: TextColumnName = "text",
    label_column: LabelColumnName = DEFAULT_LABEL_COLUMN,
    label_separator: LabelSeparator = None,
    label_columns: LabelColumns = None,
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Name of a column with groups of texts, which also get figures of their own.",
            show_default=False,
        ),
    ] = None,
    neutral_label: Annotated[
        str | None,
        typer.Option(
            help="Label of the texts that no class is right for. Only the figures of groups have them.",
            show_default=False,
        ),
    ] = None,
    encoding: Encoding = None,
    max_bad_rows: MaxBadRows = MAX_BAD_SHARE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Folder for PNG plots.", show_default=False)] = None,
    errors: Annotated[
        Path | None,
        typer.Option(
            help="HTML file for the most confident mistakes, with their texts.",
            callback=check_folder,
            show_default=False,
        ),
    ] = None,
    max_errors: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_ERRORS,
            help=f"Most mistakes in that file. Default: {DEFAULT_ERRORS}.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Evaluate a model of the store on labelled texts, through the same pipeline as the service.

    Several models are printed side by side, with McNemar's test of each against the first.

    The file of `--errors` shows which words spoke for each wrong prediction. For a network, each mistake
    costs many runs of the model. With several models, each has a folder of plots and a file of mistakes with
    its tag in the name.

    A model that can give a text several labels is evaluated on texts with any number of them: lists in JSON
    or Parquet, a column with `--label-separator`, or `--label-columns`.
    """
    if max_errors is not None and errors is None:
        raise typer.BadParameter("--max-errors is given without --errors, whose file it bounds")
    if neutral_label is not None and group_column is None:
        raise typer.BadParameter(
            "--neutral-label is given without --group-column, whose table alone has the texts with this label"
        )
    source = label_source(label_column, label_separator, label_columns)
    import model_store
    from classifier.pipeline import load_classifier
    from classifier.settings import load_settings
    from training_import.dataset import read_dataset
    from training_import.evaluation.comparison import check_same_classes, check_same_kind
    from training_import.evaluation.groups import groups_of

    settings = load_settings()
    tags = model or [settings.model.tag]
    if len(set(tags)) < len(tags):
        raise typer.BadParameter(f"--model names a model twice: {', '.join(tags)}; name each of them once")
    classifiers = [load_classifier(model_store.folder_of(tag), settings.inference.batch_size) for tag in tags]
    check_same_classes([(tag, one.labels) for tag, one in zip(tags, classifiers, strict=True)])
    check_same_kind([(tag, one.has_several_labels) for tag, one in zip(tags, classifiers, strict=True)])
    has_several_labels = classifiers[0].has_several_labels
    if neutral_label is not None and has_several_labels:
        raise typer.BadParameter(
            f"--neutral-label is for models that give a text one label; for {tags[0]}, a text that no label "
            "is right for is a text without labels"
        )
    grouped = {} if group_column is None else {group_column: "--group-column"}
    dataset = read_dataset(data, text_column, source, encoding, max_bad_rows, grouped)
    groups = [] if group_column is None else groups_of(dataset, group_column)
    print_reading(err, dataset)
    if label_columns is not None and has_several_labels:
        _warn_of_labels_without_column(tags[0], classifiers[0].labels, source.columns)
    outputs = _Outputs(as_json, plots, errors, max_errors or DEFAULT_ERRORS, settings.explain.max_runs)
    named = dict(zip(tags, classifiers, strict=True))
    if has_several_labels:
        _evaluate(several_labels(), named, dataset, groups, outputs)
    else:
        _evaluate(one_label(neutral_label), named, dataset, groups, outputs)


def _evaluate(
    kind: Kind[R, G],
    classifiers: "Mapping[str, Classifier]",
    dataset: "Dataset",
    groups_of_texts: Sequence[str],
    outputs: _Outputs,
) -> None:
    """Evaluate models of one kind, which have their tags, and print, draw and write what is asked for."""
    from training_import.evaluation.comparison import data_trained_on, mcnemar

    models = []
    for tag, classifier in classifiers.items():
        known = data_trained_on(classifier.manifest, dataset)
        if known is not None:
            _warn_of_known_texts(tag, known)
        with counting() as progress:
            task = progress.add_task(f"evaluating {tag}", total=len(dataset.texts))
            report = kind.evaluate(classifier, dataset, partial(progress.advance, task))
        models.append(Evaluated(tag, report, kind.groups(groups_of_texts, report), known is not None))
    first = models[0].report.is_right
    tests = [mcnemar(first, other.report.is_right) for other in models[1:]]
    if outputs.as_json:
        _print_json(models, dataset.name, tests)
    elif len(models) == 1:
        kind.print_model(models[0], dataset.name)
    else:
        kind.print_models(models, dataset.name, tests)
    if (plots := outputs.plots) is not None:
        for one in models:
            folder = plots if len(models) == 1 else plots / file_name(one.tag)
            for path in kind.write_plots(one.report, folder, f"{one.tag} on {dataset.name}"):
                err.print(f"wrote {path}")
    if (errors := outputs.errors) is not None:
        for one in models:
            path = errors if len(models) == 1 else errors.with_stem(f"{errors.stem}-{file_name(one.tag)}")
            _write_errors(kind, path, one, classifiers[one.tag], dataset, outputs)


def file_name(tag: str) -> str:
    """Return the part of a file name that says which of several models the file is about."""
    return tag.replace(":", "@")


def _warn_of_known_texts(tag: str, known: "TrainingData") -> None:
    warning = (
        f"warning: {tag} was trained on {known.rows:,} texts of this data, so its figures say how well it "
        "remembers them, and not how good it is on new texts"
    )
    err.print(Text(harmless(warning), "yellow"), soft_wrap=False)


def _warn_of_labels_without_column(tag: str, labels: Sequence[str], columns: Iterable[str]) -> None:
    from training_import.evaluation.metrics import class_places

    places = class_places(labels)
    given = {places.get(column) for column in columns}
    missing = [label for place, label in enumerate(labels) if place not in given]
    if missing:
        warning = (
            f"warning: --label-columns has no column for the labels {', '.join(map(repr, missing))} of "
            f"{tag}, so every text counts as one without them"
        )
        err.print(Text(harmless(warning), "yellow"), soft_wrap=False)


def _write_errors(
    kind: Kind[R, G],
    path: Path,
    model: Evaluated[R, G],
    classifier: "Classifier",
    dataset: "Dataset",
    outputs: _Outputs,
) -> None:
    from classifier.explain.explain import explain_text
    from training_import.evaluation.errors_page import Source

    with counting() as progress:
        task = progress.add_task("explaining mistakes", total=None)
        mistakes = kind.find_mistakes(
            dataset,
            model.report,
            lambda text, label: explain_text(classifier, text, label, outputs.max_runs),
            outputs.most_errors,
            lambda done, count: progress.update(task, completed=done, total=count),
        )
    source = Source(model.tag, classifier.digest, dataset.name, dataset.sha256)
    kind.write_errors_page(path, source, model.report, mistakes)
    err.print(f"wrote {path}")


def _print_json(models: Sequence[Evaluated[R, G]], data: str, tests: "Sequence[McNemar]") -> None:
    """Print the figures as JSON: those of one model, or those of several with the tests against the first."""
    if len(models) == 1:
        answer = {"model": models[0].tag, "data": data} | _figures(models[0])
    else:
        answer = {
            "data": data,
            "models": [{"model": one.tag} | _figures(one) for one in models],
            "mcnemar": [
                {"first": models[0].tag, "second": other.tag} | asdict(test)
                for other, test in zip(models[1:], tests, strict=True)
            ],
        }
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")


def _figures(model: Evaluated[R, G]) -> dict[str, object]:
    """Return all figures of a model; the field `groups` is there only if the texts have groups."""
    groups = {"groups": [asdict(group) for group in model.groups]} if model.groups else {}
    return model.report.as_json() | {"trained_on_this_data": model.knows_data} | groups
