"""Classify texts without a server, through the same pipeline as the service."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from classifier.errors import ClassifierError
from cli.console import new_app

MAX_LINE_BYTES = 1_000_000
"""Most bytes of a line. A longer one is refused before all of it is read."""
MAX_SHOWN_CHARACTERS = 60
"""Most characters of a text in the table."""
STANDARD_INPUT = Path("-")

app = new_app()


class InputError(ClassifierError):
    """A text of the input cannot be classified."""


@dataclass(frozen=True)
class _Text:
    place: str
    """Where the text comes from, for messages."""
    text: str


@app.command(epilog="Example: `text-classifier predict --file reviews.txt --json > predictions.jsonl`")
def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to classify.", show_default=False)] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="File with one text per line, in UTF-8; `-` is standard input.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Tag in the store. Default: the model that the settings name.", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Confidence below which the answer is `uncertain`.", show_default=False
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON per text, as `POST /predict` answers.")
    ] = False,
) -> None:
    """Classify texts without a server, through the same pipeline as the service.

    The texts are the arguments, or the lines of a file or of standard input. They are classified in batches,
    so a file may be larger than memory.
    """
    import model_store
    from classifier.pipeline import load_classifier
    from classifier.settings import load_settings

    if texts and file:
        raise typer.BadParameter("texts and --file are both given; one of them must be missing")
    if not texts and not file and sys.stdin.isatty():
        raise typer.BadParameter("there are no texts; give them as arguments, with --file or through a pipe")
    settings = load_settings()
    tag = model or settings.model.tag
    if model is None:
        model_store.put_bundled_model(settings.model)
    batch_size = settings.inference.batch_size
    classifier = load_classifier(model_store.folder_of(tag), batch_size)
    show = _json_lines if as_json else _Table(classifier.labels).lines
    for batch in _batches(_given(texts, file), batch_size):
        answers = _answers(classifier, batch, settings.inference.confidence_threshold, threshold)
        typer.echo("\n".join(show(answers)))
        if not as_json:
            _print_warnings(batch, answers)


def _given(texts: list[str] | None, file: Path | None) -> Iterator[_Text]:
    if texts:
        yield from (_Text(f"text {number}", text) for number, text in enumerate(texts, start=1))
    elif file is None or file == STANDARD_INPUT:
        yield from read_lines(sys.stdin.buffer, "standard input")
    else:
        try:
            with file.open("rb") as stream:
                yield from read_lines(stream, str(file))
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}") from error


def read_lines(stream: BinaryIO, name: str) -> Iterator[_Text]:
    """The lines of a stream of UTF-8; raises InputError, which names the line."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        place = f"{name} line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise InputError(f"{place} has more than {MAX_LINE_BYTES} bytes; a line must be one text")
        try:
            yield _Text(place, line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{place} is not UTF-8: byte {error.start + 1} is {line[error.start]:#x}"
            ) from error


def _batches(texts: Iterator[_Text], size: int) -> Iterator[list[_Text]]:
    """Checked texts, at most `size` at a time; raises InputError after the batches before the wrong text."""
    from pydantic import TypeAdapter, ValidationError

    from classifier.schema import Text
    from classifier.validation import first_error

    contract = TypeAdapter(Text)
    while batch := list(islice(texts, size)):
        checked = []
        for one in batch:
            try:
                checked.append(_Text(one.place, contract.validate_python(one.text)))
            except ValidationError as error:
                raise InputError(f"{one.place} {first_error(error).rule}") from error
        yield checked


def _answers(
    classifier: Any, batch: list[_Text], confidence_threshold: float, threshold: float | None
) -> list[Any]:
    from classifier.answers import prediction_answer

    try:
        predictions = classifier.predict([one.text for one in batch])
    except FloatingPointError as error:
        raise InputError(f"{batch[0].place} to {batch[-1].place.split()[-1]}: {error}") from error
    return [
        prediction_answer(one.text, prediction, confidence_threshold, threshold)
        for one, prediction in zip(batch, predictions, strict=True)
    ]


def _json_lines(answers: Iterable[Any]) -> list[str]:
    import orjson

    return [orjson.dumps(answer).decode() for answer in answers]


class _Table:
    """A table for people, whose rows are made batch by batch under one header."""

    def __init__(self, labels: Iterable[str]) -> None:
        from classifier.pipeline import UNCERTAIN

        self._width = max(map(len, (*labels, UNCERTAIN)))
        self._has_head = False

    def lines(self, answers: Iterable[Any]) -> list[str]:
        """The rows of a batch; the first batch has the head above it."""
        head = [] if self._has_head else [self._row("label", "confidence", "text")]
        self._has_head = True
        return head + [
            self._row(
                answer.get("final_prediction", answer["label"]),
                f"{answer['confidence']:.4f}",
                _shortened(answer["text"]),
            )
            for answer in answers
        ]

    def _row(self, label: str, confidence: str, text: str) -> str:
        return f"{label:<{self._width}}  {confidence:>10}  {text}"


def _shortened(text: str) -> str:
    """The beginning of a text in one line, without characters that could control a terminal."""
    line = "".join(
        character if character.isprintable() else " " for character in text[: 2 * MAX_SHOWN_CHARACTERS]
    )
    line = " ".join(line.split())
    return line if len(line) <= MAX_SHOWN_CHARACTERS else line[: MAX_SHOWN_CHARACTERS - 1] + "…"


def _print_warnings(batch: list[_Text], answers: list[Any]) -> None:
    for one, answer in zip(batch, answers, strict=True):
        for warning in answer.get("warnings", ()):
            typer.echo(f"{one.place}: {warning}", err=True)
