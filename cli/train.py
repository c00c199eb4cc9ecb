"""The command that trains a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.console import new_app
from cli.new_model import Name, Output, save, say_reference, serve_hint
from cli.progress import training
from cli.text_files import FILES, Data, Encoding, LabelColumnName, MaxBadRows, TextColumnName
from cli.training_report import print_training
from training_import.rows import MAX_BAD_SHARE

if TYPE_CHECKING:
    from training_import.dataset import Dataset

app = new_app()

MAX_ENCODER_TOKENS = 8192

FINAL_PART = "final"
"""The part of a file of groups that the model card has; the other parts are for choosing."""


def _short_texts(
    source: str | None, text_column: str, label_column: str, encoding: str | None, max_bad_rows: float
) -> "Dataset | None":
    """Read short texts, which are in a file or have a name of their own."""
    from training_import import film_phrases, sentence_polarity
    from training_import.dataset import read_dataset

    if source is None:
        return None
    if source == sentence_polarity.NAME:
        return sentence_polarity.read_sentence_polarity()
    if source == film_phrases.NAME:
        return film_phrases.film_phrases()
    return read_dataset(Path(source), text_column, label_column, encoding, max_bad_rows)


def _check_encoder_options(
    kind: str | None, encoder: Path | None, max_tokens: int | None, quantize: str | None
) -> None:
    """Refuse options that would have no effect."""
    if encoder is not None and kind is not None:
        raise typer.BadParameter(
            f"--kind {kind} and --encoder are both given; a model with an encoder is a kind of its own"
        )
    if encoder is None and quantize is not None:
        raise typer.BadParameter("--quantize is for a model with an encoder")
    if encoder is None and max_tokens is not None:
        raise typer.BadParameter(
            "--max-tokens is for a model with an encoder; the setting preprocessing.max_tokens is for other "
            "kinds"
        )


@app.command(epilog="Example: `text-classifier train --data reviews.csv --kind linear --name reviews`")
def train(
    data: Data,
    name: Name,
    kind: Annotated[
        Literal["linear", "cnn"] | None,
        typer.Option(help="linear: weighted n-grams; cnn: a convolutional network.", show_default="linear"),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a frozen sentence encoder, on which a linear head is trained, instead of --kind.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help="How many tokens of a text an encoder reads, special ones included.",
            min=1,
            max=MAX_ENCODER_TOKENS,
            show_default="what it can read, at most 256",
        ),
    ] = None,
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option(help="Store the weights of an encoder in a smaller type.", show_default=False),
    ] = None,
    text_column: TextColumnName = "text",
    label_column: LabelColumnName = "label",
    test: Annotated[
        list[Path] | None,
        typer.Option(
            help=f"Labelled texts to test the finished model on, {FILES}", metavar="FILE", show_default=False
        ),
    ] = None,
    short: Annotated[
        str | None,
        typer.Option(
            help="Labelled short texts, to make a linear model right on sentences too; a file like --data, "
            "or `sentence_polarity` (NLTK's corpus).",
            show_default=False,
        ),
    ] = None,
    phrases: Annotated[
        str | None,
        typer.Option(
            help="Labelled short texts that are only trained on, with --short; a file like --data, or "
            "`film_phrases` (generated).",
            show_default=False,
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            help="Labelled texts with columns `group` and `part`, for figures by group in the model card; "
            f"only those whose part is `{FINAL_PART}`.",
            show_default=False,
        ),
    ] = None,
    class_weight: Annotated[
        Literal["balanced"] | None,
        typer.Option(
            help="balanced: a rare class counts as much as a frequent one. Default: each text counts 1.",
            show_default=False,
        ),
    ] = None,
    encoding: Encoding = None,
    max_bad_rows: MaxBadRows = MAX_BAD_SHARE,
    seed: Annotated[int, typer.Option(help="The same seed gives the same artifact.")] = 0,
    output: Output = None,
) -> None:
    """Train a model on labelled texts and put it into the BentoML model store.

    A fifth of the texts is held out to choose the model's settings and to calibrate its probabilities. With
    --encoder each text is held out once, in a cross-validation.
    """
    _check_encoder_options(kind, encoder, max_tokens, quantize)
    import model_store
    from classifier.settings import load_settings
    from training_import.conversion.sentence_encoders import read_encoder
    from training_import.dataset import read_dataset
    from training_import.evaluation.groups import read_groups
    from training_import.training.material import DataSets
    from training_import.training.train import train as train_model

    settings = load_settings()
    data_sets = DataSets(
        main=read_dataset(data, text_column, label_column, encoding, max_bad_rows),
        short=_short_texts(short, text_column, label_column, encoding, max_bad_rows),
        phrases=_short_texts(phrases, text_column, label_column, encoding, max_bad_rows),
        test=read_dataset(test, text_column, label_column, encoding, max_bad_rows) if test else None,
        groups=read_groups(groups, FINAL_PART, max_bad_rows) if groups else None,
    )
    with training() as progress:
        task = progress.add_task("starting" if encoder is None else "reading the encoder", total=None)
        sentence_encoder = None if encoder is None else read_encoder(encoder, max_tokens, quantize)
        trained = train_model(
            data_sets,
            "encoder" if encoder is not None else kind or "linear",
            name,
            settings.preprocessing,
            seed,
            lambda step, share=None: progress.update(
                task, description=step, total=None if share is None else 1, completed=share or 0
            ),
            class_weight,
            sentence_encoder,
        )
        tag = save(trained.artifact, output)
        progress.update(task, description="done", total=1, completed=1)
    print_training(tag, data_sets, trained, model_store.folder_of(tag))
    say_reference(trained.artifact, "held-out texts")
    serve_hint(tag)
