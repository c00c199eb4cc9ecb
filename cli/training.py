"""Commands that train, import, evaluate and list models."""

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from cli.console import err, new_app, out

if TYPE_CHECKING:
    from classifier.artifact import Artifact
    from training_import.evaluation.evaluate import Report

app = new_app()

FILES = "a CSV or TSV file with a header, or a JSONL or Parquet file"
"""The kinds of files that commands read texts from."""

Data = Annotated[Path, typer.Option(help=f"Labelled texts: {FILES}.", show_default=False)]
TextColumnName = Annotated[str, typer.Option(help="Name of the column with the texts.")]
LabelColumnName = Annotated[str, typer.Option(help="Name of the column with the labels.")]
Encoding = Annotated[
    str | None,
    typer.Option(help="Encoding of the file, if it is not UTF-8, UTF-16 or cp1252.", show_default=False),
]


def _check_name(name: str | None) -> str | None:
    """Refuse a name that the settings would refuse, before any training."""
    if name is not None:
        from pydantic import ValidationError

        from classifier.settings import ModelSettings
        from classifier.validation import first_error

        try:
            ModelSettings(name=name)
        except ValidationError as error:
            raise typer.BadParameter(f"{name!r}: {first_error(error).rule}") from error
    return name


Name = Annotated[
    str, typer.Option(help="Name of the model in the store.", callback=_check_name, show_default=False)
]
Output = Annotated[
    Path | None, typer.Option(help="Folder to write the artifact to as well.", show_default=False)
]


def _save(artifact: "Artifact", output: Path | None) -> str:
    """Write an artifact, load it as the service does, and put it into the store; returns the tag."""
    import model_store
    from classifier.artifact import write_artifact
    from classifier.pipeline import load_classifier

    with tempfile.TemporaryDirectory() as scratch:
        folder = output or Path(scratch)
        write_artifact(artifact, folder)
        load_classifier(folder)
        return model_store.save(folder)


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=err, transient=False
    )


@app.command(epilog="Example: `text-classifier train --data reviews.csv --kind linear --name reviews`")
def train(
    data: Data,
    name: Name,
    kind: Annotated[
        Literal["linear", "cnn"], typer.Option(help="linear: weighted n-grams; cnn: a convolutional network.")
    ] = "linear",
    text_column: TextColumnName = "text",
    label_column: LabelColumnName = "label",
    test: Annotated[
        Path | None, typer.Option(help="Labelled texts to test the finished model on.", show_default=False)
    ] = None,
    encoding: Encoding = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same artifact.")] = 0,
    output: Output = None,
) -> None:
    """Train a model on labelled texts and put it into the BentoML model store.

    A fifth of the texts is held out to choose the model's settings and to calibrate its probabilities.
    """
    from classifier.settings import load_settings
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
    out.print(
        f"{tag}: accuracy {100 * evaluation.accuracy:.2f} %, ECE {evaluation.ece:.4f} "
        f"on {evaluation.rows:,} held-out texts"
    )
    if test_dataset is not None:
        metrics = artifact.manifest.metrics
        out.print(
            f"test: accuracy {100 * metrics['test_accuracy']:.2f} %, ECE {metrics['test_ece']:.4f} "
            f"on {len(test_dataset.texts):,} texts"
        )
    _say_reference(artifact)
    _serve_hint(tag)


def _say_reference(artifact: "Artifact") -> None:
    from classifier.drift.reference import MIN_REFERENCE_TEXTS

    reference = artifact.manifest.reference
    if reference is None:
        out.print(
            "no reference for drift: it needs at least "
            f"{MIN_REFERENCE_TEXTS} texts that the model was not trained on"
        )
    else:
        out.print(f"reference for drift: {reference.texts:,} texts")


def _serve_hint(tag: str) -> None:
    name, _, version = tag.partition(":")
    out.print(
        f"serve it: CLASSIFIER__MODEL__NAME={name} CLASSIFIER__MODEL__VERSION={version} make serve",
        soft_wrap=True,
    )


@app.command(epilog="Example: `text-classifier evaluate --data test.csv --plots plots/`")
def evaluate(
    data: Data,
    model: Annotated[
        str | None,
        typer.Option(help="Tag in the store. Default: the model that the settings name.", show_default=False),
    ] = None,
    text_column: TextColumnName = "text",
    label_column: LabelColumnName = "label",
    encoding: Encoding = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Folder for PNG plots.", show_default=False)] = None,
) -> None:
    """Evaluate a model of the store on labelled texts, through the same pipeline as the service."""
    import model_store
    from classifier.pipeline import load_classifier
    from classifier.settings import load_settings
    from training_import.dataset import read_dataset
    from training_import.evaluation.evaluate import evaluate as evaluate_model
    from training_import.evaluation.evaluate import write_plots

    settings = load_settings()
    tag = model or settings.model.tag
    classifier = load_classifier(model_store.folder_of(tag), settings.inference.batch_size)
    dataset = read_dataset(data, text_column, label_column, encoding)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err)
    with bar as progress:
        task = progress.add_task(f"evaluating {tag}", total=len(dataset.texts))
        report = evaluate_model(classifier, dataset, lambda count: progress.advance(task, count))
    if as_json:
        sys.stdout.write(json.dumps({"model": tag, "data": dataset.name} | report.as_json(), indent=2) + "\n")
    else:
        _print_report(tag, dataset.name, report)
    if plots is not None:
        for path in write_plots(report, plots):
            err.print(f"wrote {path}")


def _print_report(tag: str, data: str, report: "Report") -> None:
    figures = report.evaluation
    overall = Table(title=f"{tag} on {data}", title_justify="left")
    for column in ("texts", "accuracy", "ROC AUC", "log loss", "ECE", "µs per text"):
        overall.add_column(column, justify="right")
    overall.add_row(
        f"{figures.rows:,}",
        f"{100 * figures.accuracy:.2f} %",
        f"{figures.roc_auc:.4f}",
        f"{figures.log_loss:.4f}",
        f"{figures.ece:.4f}",
        f"{report.microseconds_per_text:.0f}",
    )
    out.print(overall)
    by_class = Table()
    confusion = (f"as {label}" for label in figures.labels)
    for column in ("class", "precision", "recall", "F1", "texts", *confusion):
        by_class.add_column(column, justify="left" if column == "class" else "right")
    for row, counts in zip(figures.by_class, figures.confusion, strict=True):
        values = (f"{row.precision:.4f}", f"{row.recall:.4f}", f"{row.f1:.4f}", f"{row.support:,}")
        by_class.add_row(row.label, *values, *(f"{count:,}" for count in counts))
    out.print(by_class)


@app.command(
    "import",
    epilog="Example: `text-classifier import model.joblib --name mine --trust-pickle`",
)
def import_foreign(
    source: Annotated[
        Path, typer.Argument(help="A .keras, .skops, .joblib, .pkl or .onnx file.", show_default=False)
    ],
    name: Name,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Unpickle the file, which can run any code in it.")
    ] = False,
    word_index: Annotated[
        Path | None, typer.Option(help="JSON file {word: id} of a .keras file.", show_default=False)
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="JSON file that describes the tokenizer of an .onnx file.", show_default=False),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Labels in the order of the model's classes, with commas.", show_default=False),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Length that texts were padded to for a Keras model.", show_default=False),
    ] = None,
    padding: Annotated[
        Literal["pre", "post"], typer.Option(help="The side where Keras padded texts.")
    ] = "pre",
    truncating: Annotated[
        Literal["pre", "post"], typer.Option(help="The side where Keras cut texts.")
    ] = "pre",
    strip_html: Annotated[
        bool, typer.Option(help="HTML tags were removed from the texts for training.")
    ] = False,
    remove_special_chars: Annotated[
        bool, typer.Option(help="Everything but letters was removed from the texts for training.")
    ] = False,
    remove_stopwords: Annotated[
        bool, typer.Option(help="NLTK's stop words were removed from the texts for training.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Texts that the model was not trained on: to compare the models, and for drift.",
            show_default=False,
        ),
    ] = None,
    text_column: TextColumnName = "text",
    encoding: Encoding = None,
    output: Output = None,
) -> None:
    """Convert an existing model, prove that it answers as before, and put it into the store.

    At least 200 texts are run through both models. If the answers differ, the import is refused and the
    text with the largest difference is shown.
    """
    from training_import.conversion.converted import ImportOptions
    from training_import.conversion.import_model import import_model
    from training_import.dataset import read_texts
    from training_import.stopwords import stopwords

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
    out.print(
        f"{tag}: {metrics['import_checked_texts']:.0f} texts compared, "
        f"largest difference {metrics['import_largest_difference']:.1e}"
    )
    _say_reference(artifact)
    _serve_hint(tag)


@app.command(epilog="Example: `text-classifier models`")
def models() -> None:
    """List the models of the BentoML model store that the service can serve."""
    import model_store

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
    out.print(table)
