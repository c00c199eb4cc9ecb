"""The command that imports a model made elsewhere."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from cli.bars import probability_lines, several_label_lines
from cli.console import err, fitted, new_app, out
from cli.new_model import Name, Output, save, say_reference, serve_hint
from cli.progress import spinner
from cli.reading import print_reading, print_skipped
from cli.summary import print_section
from cli.text_files import (
    DEFAULT_LABEL_COLUMN,
    FILES,
    Encoding,
    LabelColumns,
    LabelSeparator,
    MaxBadRows,
    TextColumnName,
    label_source,
)
from training_import.rows import MAX_BAD_SHARE

if TYPE_CHECKING:
    from training_import.conversion.converted import LabelSets
    from training_import.conversion.import_model import Imported
    from training_import.label_sources import LabelSource

app = new_app()

MAX_SHOWN_CLASSES = 30

MAX_SHOWN_CHARACTERS = 200
"""Most characters of the name of a class, and of the text that is classified as an example."""

EXAMPLE = "It took a while to arrive, but it is good and I would buy it again."
"""The text that is classified as an example if the user gives none."""


@app.command(
    "import",
    epilog="Example: `text-classifier import model.joblib --name mine --trust-pickle`",
)
def import_foreign(
    source: Annotated[
        Path,
        typer.Argument(
            help="A .keras, .h5, .skops, .joblib, .pkl or .onnx file, or a folder of Hugging Face.",
            show_default=False,
        ),
    ],
    name: Name,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Unpickle the file, which can run any code in it.")
    ] = False,
    vectorizer: Annotated[
        Path | None,
        typer.Option(
            help="File of the vectorizer or Keras Tokenizer, if the model's file does not have it.",
            show_default=False,
        ),
    ] = None,
    word_index: Annotated[
        Path | None, typer.Option(help="JSON file {word: id} of a Keras file.", show_default=False)
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="JSON file that describes the tokenizer of an .onnx file.", show_default=False),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Labels in the order of the model's classes, with commas.", show_default=False),
    ] = None,
    thresholds: Annotated[
        str | None,
        typer.Option(
            help="If a text can have several labels: the probability from which on it has each, with commas.",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Length that texts were padded to for a Keras model, or that a transformer reads.",
            show_default=False,
        ),
    ] = None,
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option(help="Store the weights of a transformer in a smaller type.", show_default=False),
    ] = None,
    min_agreement: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of texts that must keep their label with --quantize."),
    ] = 0.99,
    padding: Annotated[
        Literal["pre", "post"], typer.Option(help="The side where Keras padded texts.")
    ] = "pre",
    truncating: Annotated[
        Literal["pre", "post"], typer.Option(help="The side where Keras cut texts.")
    ] = "pre",
    strip_html: Annotated[
        bool, typer.Option("--strip-html", help="HTML tags were removed from the texts for training.")
    ] = False,
    remove_special_chars: Annotated[
        bool,
        typer.Option(
            "--remove-special-chars", help="Everything but letters was removed from the texts for training."
        ),
    ] = False,
    remove_stopwords: Annotated[
        bool,
        typer.Option(
            "--remove-stopwords", help="NLTK's stop words were removed from the texts for training."
        ),
    ] = False,
    expected: Annotated[
        Path | None,
        typer.Option(
            help="Texts with the original's probabilities, to compare with (docs/import.md).",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help=f"New texts, {FILES}",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    text_column: TextColumnName = "text",
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Name of the column of --data with the labels, to calibrate a model without probabilities.",
            show_default=False,
        ),
    ] = None,
    label_separator: LabelSeparator = None,
    label_columns: LabelColumns = None,
    max_bad_rows: MaxBadRows = MAX_BAD_SHARE,
    encoding: Encoding = None,
    output: Output = None,
) -> None:
    """Convert an existing model, prove that it answers as before, and put it into the store.

    At least 200 texts are run through both models. If the answers differ, the import is refused and the
    text with the largest difference is shown. An ONNX file comes without its tokenizer, so it is compared
    only with the probabilities of `--expected`. The command ends with a summary of what it did.
    """
    import model_store
    from classifier.pipeline import Classifier
    from training_import.conversion.converted import ImportOptions
    from training_import.conversion.import_model import convert_and_compare
    from training_import.stopwords import stopwords

    options = ImportOptions(
        name=name,
        labels=tuple(label.strip() for label in labels.split(",")) if labels else None,
        thresholds=_numbers(thresholds) if thresholds else None,
        vectorizer=vectorizer,
        word_index=word_index,
        tokenizer=tokenizer,
        expected=expected,
        quantize=quantize,
        min_agreement=min_agreement,
        trust_pickle=trust_pickle,
        max_tokens=max_tokens,
        padding=padding,
        truncating=truncating,
        strip_html=strip_html,
        remove_special_chars=remove_special_chars,
        stopwords=stopwords() if remove_stopwords else (),
    )
    source_of_labels = None
    named_labels = {
        "--label-column": label_column,
        "--label-separator": label_separator,
        "--label-columns": label_columns,
    }
    if given := [name for name, value in named_labels.items() if value is not None]:
        if not data:
            raise typer.BadParameter(f"{given[0]} is given without --data, which has the labels")
        named = label_column or DEFAULT_LABEL_COLUMN
        source_of_labels = label_source(named, label_separator, label_columns)
    texts, true_labels = _read(data or [], text_column, source_of_labels, encoding, max_bad_rows)
    with spinner() as progress:
        task = progress.add_task(f"converting {source.name}", total=None)
        imported = convert_and_compare(source, options, texts, true_labels)
        tag = save(imported.artifact, output)
        progress.update(task, description="done", total=1, completed=1)
    out.print(Text(f"{tag}: imported from {source.name}"), soft_wrap=True)
    _print_import(imported)
    (prediction,) = Classifier(imported.artifact).predict([texts[0] if texts else EXAMPLE])
    shown = fitted(" ".join((texts[0] if texts else EXAMPLE).split()), MAX_SHOWN_CHARACTERS)
    found = prediction.label if prediction.labels is None else ", ".join(prediction.labels) or "no label"
    print_section("example", [f"{fitted(found, MAX_SHOWN_CHARACTERS)}: {shown}"])
    lines = probability_lines if prediction.labels is None else several_label_lines
    print_section("", [*lines(prediction.probabilities), *prediction.warnings])
    print_section("card", [str(model_store.folder_of(tag) / "MODEL_CARD.md")])
    say_reference(imported.artifact, "texts in --data that the model was not trained on")
    serve_hint(tag)


def _numbers(text: str) -> tuple[float, ...]:
    """Return the numbers from 0 to 1 in a text with commas between them."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(0 <= number <= 1 for number in numbers):
        raise typer.BadParameter(f"--thresholds is {text!r}; it must be numbers from 0 to 1, with commas")
    return numbers


def _read(
    data: Sequence[Path],
    text_column: str,
    source_of_labels: "LabelSource | None",
    encoding: str | None,
    max_bad_rows: float,
) -> tuple[list[str], "LabelSets"]:
    """Return the texts of files, and their labels if their source is named; say which rows are skipped."""
    from training_import.dataset import read_dataset, read_texts_and_skipped
    from training_import.rows import expand, joint_name

    if not data:
        return [], []
    if source_of_labels is not None:
        dataset = read_dataset(data, text_column, source_of_labels, encoding, max_bad_rows)
        print_reading(err, dataset)
        return dataset.texts, dataset.labels if dataset.label_sets is None else dataset.label_sets
    files = expand(data)
    texts, skipped = read_texts_and_skipped(files, text_column, encoding, max_bad_rows)
    print_skipped(err, joint_name(files), skipped, len(files) > 1)
    return texts, []


def _print_import(imported: "Imported") -> None:
    """Print the classes, what was compared, what was not used, and the notes."""
    names = imported.labels.names
    classes = [
        f"{number}: {fitted(name, MAX_SHOWN_CHARACTERS)}"
        for number, name in enumerate(names[:MAX_SHOWN_CLASSES])
    ]
    if len(names) > MAX_SHOWN_CLASSES:
        classes.append(f"and {len(names) - MAX_SHOWN_CLASSES:,} others, which the card lists")
    print_section("classes", [*classes, f"({imported.labels.source})"])
    print_section(
        "compared",
        [
            f"with {one.compared_with} on {one.texts:,} texts ({one.real:,} real): largest difference "
            f"{one.largest:.1e}, where {one.tolerance:g} is allowed"
            for one in imported.comparisons
        ]
        or ["nothing was compared with the original; see the notes"],
    )
    print_section("not used", [", ".join(imported.unused)] if imported.unused else [])
    print_section("notes", imported.notes, bullet="- ")
