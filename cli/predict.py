"""Classify texts without a server, through the same pipeline as the service."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer
from rich.cells import cell_len

from classifier.errors import ClassifierError
from classifier.schema import DEFAULT_CONTRIBUTIONS, MAX_CONTRIBUTIONS
from cli.bars import bar, column, label_width, probability_lines, several_label_lines
from cli.console import harmless, new_app, out
from cli.text_files import Encoding, TextColumnName

if TYPE_CHECKING:
    from classifier.explain.explanation import Explanation
    from classifier.pipeline import Classifier
    from classifier.settings import Settings

MAX_LINE_BYTES = 1_000_000
"""Most bytes of a line. A longer one is refused before all of it is read."""
LINE_BAR_WIDTH = 10
"""Width of the bar in a row of the table."""
MIN_TEXT_WIDTH = 20
"""Fewest characters of a text that are shown, even in a narrow terminal."""
STANDARD_INPUT = Path("-")
NO_LABEL = "no label"
"""In place of the labels of a text that has none, for people."""

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
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Texts to classify.", metavar="TEXTS", show_default=False)
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Text to classify, also one that begins with a dash. Repeat it.", show_default=False
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Texts in a CSV, TSV, JSON, JSONL, Parquet or Excel file. Any other file has one text per "
            "line, in UTF-8; `-` is standard input.",
            show_default=False,
        ),
    ] = None,
    text_column: TextColumnName = "text",
    encoding: Encoding = None,
    model: Annotated[
        str | None,
        typer.Option(help="Tag in the store. Default: the model that the settings name.", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Confidence below which the answer is `uncertain`, or the threshold of all labels if a text "
            "can have several.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one line of JSON per text, as `POST /predict` or `POST /predict/explain` answers.",
        ),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each part of a text adds to the score of a label.")
    ] = False,
    label: Annotated[
        str | None,
        typer.Option(help="Label that is explained. Default: the predicted one.", show_default=False),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_CONTRIBUTIONS,
            help=f"How many contributions are shown. Default: {DEFAULT_CONTRIBUTIONS}.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Classify texts without a server, through the same pipeline as the service.

    The texts are the arguments, the rows of a file, or the lines of standard input. An argument is shown with
    a bar for each label, and a text of a file as one line. Rows without a text are skipped and counted. Texts
    are classified in batches, so a file may be larger than memory. With `--explain`, words that speak for the
    label are blue and words against it orange, and the contributions below a text add up to its score.

    If a text can have several labels, all that it has are shown instead of one, and a row of the table has
    the probability of the most probable one. In JSON they are the field `labels`.
    """
    import model_store
    from classifier.pipeline import load_classifier
    from classifier.settings import load_settings

    texts = [*(arguments or ()), *(text or ())]
    if texts and file:
        raise typer.BadParameter("texts and --file are both given; one of them must be missing")
    if not texts and not file and sys.stdin.isatty():
        raise typer.BadParameter("there are no texts; give them as arguments, with --file or through a pipe")
    if not explain and (label is not None or top is not None):
        raise typer.BadParameter("--label and --top say what --explain shows, which is not given")
    if explain and threshold is not None:
        raise typer.BadParameter("--threshold and --explain are both given; one of them must be missing")
    settings = load_settings()
    tag = model or settings.model.tag
    if model is None:
        model_store.put_bundled_model(settings.model)
    batch_size = settings.inference.batch_size
    classifier = load_classifier(model_store.folder_of(tag), batch_size)
    batches = _batches(_given(texts, file, text_column, encoding), batch_size)
    if explain:
        explained = _explained(classifier, batches, label, settings.explain.max_runs)
        _show_explanations(explained, top or DEFAULT_CONTRIBUTIONS, as_json, settings)
        return
    table = _SeveralLabelsTable if classifier.has_several_labels else _Table
    show: Callable[[Iterable[Any]], list[str]] = _blocks if texts else table(classifier.labels).lines
    show = _json_lines if as_json else show
    for batch in batches:
        answers = _answers(classifier, batch, settings.inference.confidence_threshold, threshold)
        typer.echo("\n".join(show(answers)))
        if not as_json:
            _print_warnings(batch, answers)


def _given(texts: list[str], file: Path | None, text_column: str, encoding: str | None) -> Iterator[_Text]:
    from datafiles import SUFFIXES

    if texts:
        yield from (_argument(f"text {number}", text) for number, text in enumerate(texts, start=1))
    elif file is None or file == STANDARD_INPUT:
        yield from read_lines(sys.stdin.buffer, "standard input")
    elif file.name.lower().endswith(SUFFIXES):
        yield from _rows(file, text_column, encoding)
    else:
        try:
            with file.open("rb") as stream:
                yield from read_lines(stream, str(file))
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}") from error


def _rows(file: Path, text_column: str, encoding: str | None) -> Iterator[_Text]:
    """Yield the texts of a file of rows; says at the end how many rows have none."""
    from training_import.dataset import iterate_texts
    from training_import.rows import BadRow, Tally

    tally = Tally()
    number = 0
    for text in iterate_texts(file, text_column, encoding):
        if isinstance(text, BadRow):
            tally.add(text)
            continue
        number += 1
        yield _Text(f"{file} text {number}", text)
    if reasons := tally.skipped().reasons():
        typer.echo(f"{file}: skipped rows: {reasons}", err=True)


def _argument(place: str, text: str) -> _Text:
    """Check an argument, in which Python keeps each byte that is not UTF-8 as a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{place} is not UTF-8: character {error.start + 1} cannot be decoded") from error
    return _Text(place, text)


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


def _explained(
    classifier: "Classifier", batches: Iterable[list[_Text]], label: str | None, max_runs: int
) -> Iterator[tuple[_Text, "Explanation"]]:
    from classifier.explain.explain import explain_text

    for one in chain.from_iterable(batches):
        try:
            yield one, explain_text(classifier, one.text, label, max_runs)
        except FloatingPointError as error:
            raise InputError(f"{one.place}: {error}") from error


def _show_explanations(
    explained: Iterable[tuple[_Text, "Explanation"]], top: int, as_json: bool, settings: "Settings"
) -> None:
    from rich.console import Console

    from classifier.answers import explanation_answer
    from cli.explanation import print_explanation

    console = Console()
    confidence_threshold = settings.inference.confidence_threshold
    for number, (one, explanation) in enumerate(explained):
        answer = explanation_answer(one.text, explanation, confidence_threshold, top)
        if as_json:
            typer.echo(_json_lines([answer])[0])
            continue
        if number:
            console.print()
        print_explanation(console, one.text, explanation, top)
        _print_warnings([one], [answer])


def _json_lines(answers: Iterable[Any]) -> list[str]:
    import orjson

    return [orjson.dumps(answer).decode() for answer in answers]


def _decision(answer: Any) -> str:
    """Return the label, or that it is uncertain; all labels if the text can have several."""
    if "labels" in answer:
        return ", ".join(answer["labels"]) or NO_LABEL
    decision: str = answer.get("final_prediction", answer["label"])
    return decision


def _blocks(answers: Iterable[Any]) -> list[str]:
    """Return the lines of texts that are shown one below the other, each with a bar for each label."""
    lines = []
    for answer in answers:
        decision = _decision(answer)
        lines.append(_fitted(f"{column(decision, label_width([decision]))}  ", answer["text"]))
        bars = several_label_lines if "labels" in answer else probability_lines
        lines += [f"  {line}" for line in bars(answer["probabilities"])]
    return lines


class _Table:
    """A table for people, whose rows are made batch by batch under one header."""

    heading = "label"

    def __init__(self, labels: Sequence[str]) -> None:
        self._width = self._label_width(labels)
        self._has_head = False

    def _label_width(self, labels: Sequence[str]) -> int:
        from classifier.pipeline import UNCERTAIN

        return label_width([*labels, UNCERTAIN])

    def lines(self, answers: Iterable[Any]) -> list[str]:
        """The rows of a batch; the first batch has the head above it."""
        head = [] if self._has_head else [self._row(self.heading, "probability", "", "text")]
        self._has_head = True
        return head + [
            self._row(
                _decision(answer),
                f"{answer['confidence']:.4f}",
                bar(answer["confidence"], LINE_BAR_WIDTH),
                answer["text"],
            )
            for answer in answers
        ]

    def _row(self, label: str, probability: str, bar_: str, text: str) -> str:
        return _fitted(f"{column(label, self._width)}  {probability:>11}  {bar_:<{LINE_BAR_WIDTH}}  ", text)


class _SeveralLabelsTable(_Table):
    """The same table for texts that can have several labels, which are in one column."""

    heading = "labels"

    def _label_width(self, labels: Sequence[str]) -> int:
        return label_width([", ".join(labels), NO_LABEL])


def _fitted(beginning: str, text: str) -> str:
    """Return a line of the screen's width that ends with the beginning of a text."""
    width = max(out.width - cell_len(beginning), MIN_TEXT_WIDTH)
    line = " ".join(harmless(text[: 2 * width]).split())
    return (beginning + column(line, width)).rstrip()


def _print_warnings(batch: list[_Text], answers: list[Any]) -> None:
    for one, answer in zip(batch, answers, strict=True):
        for warning in answer.get("warnings", ()):
            typer.echo(f"{one.place}: {warning}", err=True)
