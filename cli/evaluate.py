"""The command that evaluates one model or several."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.console import err, harmless, new_app
from cli.evaluation_report import Evaluated, print_model, print_models
from cli.progress import counting
from cli.reading import print_reading
from cli.text_files import Data, Encoding, LabelColumnName, MaxBadRows, TextColumnName
from training_import.rows import MAX_BAD_SHARE

if TYPE_CHECKING:
    from classifier.artifact import TrainingData
    from classifier.pipeline import Classifier
    from training_import.dataset import Dataset
    from training_import.evaluation.comparison import McNemar

app = new_app()

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
    label_column: LabelColumnName = "label",
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
    """
    if max_errors is not None and errors is None:
        raise typer.BadParameter("--max-errors is given without --errors, whose file it bounds")
    if neutral_label is not None and group_column is None:
        raise typer.BadParameter(
            "--neutral-label is given without --group-column, whose table alone has the texts with this label"
        )
    import model_store
    from classifier.pipeline import load_classifier
    from classifier.settings import load_settings
    from training_import.dataset import read_dataset
    from training_import.evaluation.comparison import check_same_classes, data_trained_on, mcnemar
    from training_import.evaluation.evaluate import evaluate as evaluate_model
    from training_import.evaluation.groups import group_metrics, groups_of

    settings = load_settings()
    tags = model or [settings.model.tag]
    if len(set(tags)) < len(tags):
        raise typer.BadParameter(f"--model names a model twice: {', '.join(tags)}; name each of them once")
    classifiers = [load_classifier(model_store.folder_of(tag), settings.inference.batch_size) for tag in tags]
    check_same_classes([(tag, one.labels) for tag, one in zip(tags, classifiers, strict=True)])
    grouped = {} if group_column is None else {group_column: "--group-column"}
    dataset = read_dataset(data, text_column, label_column, encoding, max_bad_rows, grouped)
    groups_of_texts = [] if group_column is None else groups_of(dataset, group_column)
    print_reading(err, dataset)
    models = []
    for tag, classifier in zip(tags, classifiers, strict=True):
        known = data_trained_on(classifier.manifest, dataset)
        if known is not None:
            _warn_of_known_texts(tag, known)
        with counting() as progress:
            task = progress.add_task(f"evaluating {tag}", total=len(dataset.texts))
            report = evaluate_model(classifier, dataset, partial(progress.advance, task), neutral_label)
        groups = group_metrics(groups_of_texts, report.truth, report.predicted, report.probabilities)
        models.append(Evaluated(tag, report, groups, known is not None))
    first = models[0].report.is_right
    tests = [mcnemar(first, other.report.is_right) for other in models[1:]]
    if as_json:
        _print_json(models, dataset.name, tests)
    elif len(models) == 1:
        print_model(models[0], dataset.name)
    else:
        print_models(models, dataset.name, tests)
    if plots is not None:
        for one in models:
            _write_plots(one, dataset.name, plots if len(models) == 1 else plots / file_name(one.tag))
    if errors is not None:
        for one, classifier in zip(models, classifiers, strict=True):
            path = errors if len(models) == 1 else errors.with_stem(f"{errors.stem}-{file_name(one.tag)}")
            most = max_errors or DEFAULT_ERRORS
            _write_errors(path, one, classifier, dataset, most, settings.explain.max_runs)


def file_name(tag: str) -> str:
    """Return the part of a file name that says which of several models the file is about."""
    return tag.replace(":", "@")


def _warn_of_known_texts(tag: str, known: "TrainingData") -> None:
    warning = (
        f"warning: {tag} was trained on {known.rows:,} texts of this data, so its figures say how well it "
        "remembers them, and not how good it is on new texts"
    )
    err.print(Text(harmless(warning), "yellow"), soft_wrap=False)


def _write_plots(model: Evaluated, data: str, folder: Path) -> None:
    from training_import.evaluation.plots import write_plots

    for path in write_plots(model.report, folder, f"{model.tag} on {data}"):
        err.print(f"wrote {path}")


def _write_errors(
    path: Path, model: Evaluated, classifier: "Classifier", dataset: "Dataset", most: int, max_runs: int
) -> None:
    from classifier.explain.explain import explain_text
    from training_import.evaluation.errors_page import Source, write_errors_page
    from training_import.evaluation.mistakes import find_mistakes

    with counting() as progress:
        task = progress.add_task("explaining mistakes", total=None)
        mistakes = find_mistakes(
            dataset,
            model.report,
            partial(explain_text, classifier, max_runs=max_runs),
            most,
            lambda done, count: progress.update(task, completed=done, total=count),
        )
    source = Source(model.tag, classifier.digest, dataset.name, dataset.sha256)
    write_errors_page(path, source, model.report, mistakes)
    err.print(f"wrote {path}")


def _print_json(models: Sequence[Evaluated], data: str, tests: "Sequence[McNemar]") -> None:
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


def _figures(model: Evaluated) -> dict[str, object]:
    """Return all figures of a model; the field `groups` is there only if the texts have groups."""
    groups = {"groups": [asdict(group) for group in model.groups]} if model.groups else {}
    return model.report.as_json() | {"trained_on_this_data": model.knows_data} | groups
