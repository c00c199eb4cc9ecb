"""The command line: train, evaluate, import and list."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from classifier.errors import ClassifierError
from training_import.packages import check_training_packages

try:
    check_training_packages(["rich", "typer"])
except ClassifierError as error:
    raise SystemExit(f"error: {error}") from None

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

import model_store
from classifier.artifact import Artifact, write_artifact
from classifier.pipeline import load_classifier
from classifier.settings import ModelSettings, load_settings
from classifier.validation import first_error

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Make models for the service: from labelled texts, or from a model that exists.",
)

_out = Console(soft_wrap=True)
_err = Console(stderr=True)

Data = Annotated[Path, typer.Option(help="CSV, TSV, JSONL or Parquet file.", show_default=False)]
TextColumn_ = Annotated[str, typer.Option(help="Column that holds the texts.")]
LabelColumn = Annotated[str, typer.Option(help="Column that holds the labels.")]
Encoding = Annotated[
    str | None, typer.Option(help="The file's encoding, if it is neither UTF-8, UTF-16 nor cp1252.")
]


def _check_name(name: str | None) -> str | None:
    """Refuse before any training what the service's settings, and so the store, would refuse after it."""
    if name is not None:
        try:
            ModelSettings(name=name)
        except ValidationError as error:
            raise typer.BadParameter(f"{name!r}: {first_error(error).rule}") from error
    return name


Name = Annotated[
    str, typer.Option(help="The model's name in the store.", callback=_check_name, show_default=False)
]
Output = Annotated[Path | None, typer.Option(help="Also write the artifact into this folder.")]


def _save(artifact: Artifact, output: Path | None) -> str:
    """Write, check as the service will, and put into the store; returns the tag."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = output or Path(scratch)
        write_artifact(artifact, folder)
        load_classifier(folder)
        return model_store.save(folder)


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=_err, transient=False
    )


@app.command(
    epilog="Example: `python -m training_import train --data reviews.csv --kind linear --name reviews`"
)
def train(
    data: Data,
    name: Name,
    kind: Annotated[
        Literal["linear", "cnn"], typer.Option(help="linear: n-grams. cnn: a network.")
    ] = "linear",
    text_column: TextColumn_ = "text",
    label_column: LabelColumn = "label",
    test: Annotated[Path | None, typer.Option(help="Texts to test the finished model on, once.")] = None,
    encoding: Encoding = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same artifact.")] = 0,
    output: Output = None,
) -> None:
    """Train a model on labelled texts and put it into the BentoML model store.

    A fifth of the texts is held out, to choose and to calibrate on.
    """
    from training_import.dataset import read_dataset
    from training_import.training.train import train as train_artifact

    settings = load_settings()
    dataset = read_dataset(data, text_column, label_column, encoding)
    test_dataset = read_dataset(test, text_column, label_column, encoding) if test else None
    with _progress() as progress:
        task = progress.add_task("starting", total=None)
        artifact, evaluation = train_artifact(
            dataset,
            kind,
            name,
            settings.preprocessing,
            seed,
            test_dataset,
            lambda step: progress.update(task, description=step),
        )
        tag = _save(artifact, output)
        progress.update(task, description="done", total=1, completed=1)
    _out.print(
        f"{tag}: accuracy {100 * evaluation.accuracy:.2f} %, ECE {evaluation.ece:.4f} "
        f"on {evaluation.rows:,} held-out texts"
    )
    if test_dataset is not None:
        metrics = artifact.manifest.metrics
        _out.print(
            f"test: accuracy {100 * metrics['test_accuracy']:.2f} %, ECE {metrics['test_ece']:.4f} "
            f"on {len(test_dataset.texts):,} texts"
        )
    _serve_hint(tag)


def _serve_hint(tag: str) -> None:
    name, _, version = tag.partition(":")
    _out.print(
        f"serve it: CLASSIFIER__MODEL__NAME={name} CLASSIFIER__MODEL__VERSION={version} make serve",
        soft_wrap=True,
    )


@app.command(epilog="Example: `python -m training_import evaluate --data test.csv --plots plots/`")
def evaluate(
    data: Data,
    model: Annotated[
        str | None, typer.Option(help="Tag in the store; default: the one that would be served.")
    ] = None,
    text_column: TextColumn_ = "text",
    label_column: LabelColumn = "label",
    encoding: Encoding = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Folder for PNG plots.")] = None,
) -> None:
    """Evaluate a model of the store on labelled texts, through the same pipeline as the service."""
    from training_import.dataset import read_dataset
    from training_import.evaluation.evaluate import evaluate as evaluate_model
    from training_import.evaluation.evaluate import write_plots

    settings = load_settings()
    tag = model or settings.model.tag
    classifier = load_classifier(model_store.folder_of(tag), settings.inference.batch_size)
    dataset = read_dataset(data, text_column, label_column, encoding)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=_err)
    with bar as progress:
        task = progress.add_task(f"evaluating {tag}", total=len(dataset.texts))
        report = evaluate_model(classifier, dataset, lambda count: progress.advance(task, count))
    if as_json:
        sys.stdout.write(json.dumps({"model": tag, "data": dataset.name} | report.as_json(), indent=2) + "\n")
    else:
        figures = report.evaluation
        overall = Table(title=f"{tag} on {dataset.name}", title_justify="left")
        for column in ("texts", "accuracy", "ROC AUC", "log loss", "ECE", "µs a text"):
            overall.add_column(column, justify="right")
        overall.add_row(
            f"{figures.rows:,}",
            f"{100 * figures.accuracy:.2f} %",
            f"{figures.roc_auc:.4f}",
            f"{figures.log_loss:.4f}",
            f"{figures.ece:.4f}",
            f"{report.microseconds_per_text:.0f}",
        )
        _out.print(overall)
        by_class = Table()
        for column in (
            "class",
            "precision",
            "recall",
            "F1",
            "texts",
            *(f"as {label}" for label in figures.labels),
        ):
            by_class.add_column(column, justify="left" if column == "class" else "right")
        for row, counts in zip(figures.by_class, figures.confusion, strict=True):
            values = (f"{row.precision:.4f}", f"{row.recall:.4f}", f"{row.f1:.4f}", f"{row.support:,}")
            by_class.add_row(row.label, *values, *(f"{count:,}" for count in counts))
        _out.print(by_class)
    if plots is not None:
        for path in write_plots(report, plots):
            _err.print(f"wrote {path}")


@app.command(
    "import",
    epilog="Example: `python -m training_import import model.joblib --name mine --trust-pickle`",
)
def import_foreign(
    source: Annotated[Path, typer.Argument(help="A .keras, .skops, .joblib, pickle or .onnx file.")],
    name: Name,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Unpickle the file, which can run any code that is in it.")
    ] = False,
    word_index: Annotated[Path | None, typer.Option(help="JSON {word: id} of a .keras file.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="JSON description beside an .onnx file.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Comma-separated, in the order of the model's classes.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Length that a Keras model's texts were padded to.")
    ] = None,
    padding: Annotated[Literal["pre", "post"], typer.Option(help="Side that Keras padded.")] = "pre",
    truncating: Annotated[Literal["pre", "post"], typer.Option(help="Side that Keras cut.")] = "pre",
    strip_html: Annotated[bool, typer.Option(help="Its texts had HTML tags stripped first.")] = False,
    remove_special_chars: Annotated[
        bool, typer.Option(help="They had all but letters removed first.")
    ] = False,
    remove_stopwords: Annotated[bool, typer.Option(help="They had NLTK's stop words removed.")] = False,
    data: Annotated[Path | None, typer.Option(help="Real texts to compare the two models on.")] = None,
    text_column: TextColumn_ = "text",
    encoding: Encoding = None,
    output: Output = None,
) -> None:
    """Convert a model that exists, prove that it answers as before, and put it into the store.

    At least 200 texts are run through both; a difference refuses the import and shows the worst text.
    """
    from training_import.conversion.converted import ImportOptions
    from training_import.conversion.import_model import import_model
    from training_import.dataset import read_texts
    from training_import.training.train import stopwords

    options = ImportOptions(
        name=name,
        labels=tuple(label.strip() for label in labels.split(",")) if labels else None,
        word_index=word_index,
        tokenizer=tokenizer,
        trust_pickle=trust_pickle,
        max_tokens=max_tokens,
        padding=padding,
        truncating=truncating,
        strip_html=strip_html,
        remove_special_chars=remove_special_chars,
        stopwords=stopwords() if remove_stopwords else (),
    )
    texts = read_texts(data, text_column, encoding) if data else []
    with _progress() as progress:
        task = progress.add_task(f"converting {source.name}", total=None)
        artifact = import_model(source, options, texts)
        tag = _save(artifact, output)
        progress.update(task, description="done", total=1, completed=1)
    metrics = artifact.manifest.metrics
    _out.print(
        f"{tag}: {metrics['import_checked_texts']:.0f} texts compared, "
        f"largest difference {metrics['import_largest_difference']:.1e}"
    )
    _serve_hint(tag)


@app.command("list", epilog="Example: `python -m training_import list`")
def list_models() -> None:
    """List the models of the store that the service can serve."""
    table = Table()
    for column in ("tag", "kind", "classes", "accuracy", "created"):
        table.add_column(column, overflow="fold")
    for model in model_store.stored_models():
        manifest = model.manifest
        created = f"{model.created:%Y-%m-%d %H:%M}"
        if manifest is None:
            table.add_row(model.tag, "broken", "", "", created)
            continue
        accuracy = manifest.metrics.get("test_accuracy", manifest.metrics.get("validation_accuracy"))
        shown = "" if accuracy is None else f"{100 * accuracy:.2f} %"
        table.add_row(model.tag, manifest.model.kind, str(len(manifest.labels)), shown, created)
    _out.print(table)


def main() -> None:
    """Run the command line: exit code 0, 1 for what this project refuses, 2 for wrong usage."""
    try:
        try:
            app()
        except ModuleNotFoundError:
            check_training_packages()
            raise
    except ClassifierError as error:
        _err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
