"""Write the most confident mistakes of a model as one HTML file that loads nothing."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from classifier.errors import ClassifierError
from classifier.explain.explanation import Contribution, Explanation, Unit
from classifier.schema import MAX_TEXT_CHARS
from training_import.evaluation.evaluate import MultilabelReport, Report
from training_import.evaluation.mistakes import Mistake, Mistakes, Pair
from training_import.evaluation.passages import passages

TEMPLATES = Path(__file__).parent / "templates"
COLOUR_STEPS = 5
"""How many colours a word for the predicted label can have, and one against it; `errors.css` has them."""
MAX_SHOWN_PAIRS = 100
"""Most pairs of labels that the page counts one by one."""
MAX_PARTS = 5
"""Most n-grams or sentences that are listed below a text."""
MAX_PART_CHARACTERS = 80
FOLDED_CHARACTERS = 700
"""A text with more characters is folded until the reader opens it."""
_UNITS = {Unit.NGRAM: "n-grams", Unit.WORD: "words", Unit.SENTENCE: "sentences"}


class PageError(ClassifierError):
    """The page cannot be written."""


@dataclass(frozen=True)
class Source:
    """What the mistakes on a page are from, for its head."""

    model: str
    """The tag of the model in the store."""
    digest: str
    data: str
    data_sha256: str


@dataclass(frozen=True)
class _Head:
    """What the page says of all predictions."""

    predictions: int
    """How many there are, right and wrong."""
    unit: str
    """What a prediction is made for, in the plural."""
    first_figure: tuple[str, str]
    """The name and the value of the most important figure."""
    texts: int
    ece: float
    pairs: str
    """What the table of pairs counts the mistakes by."""
    blue: str
    """What blue words speak for."""


@dataclass(frozen=True)
class _Passage:
    text: str
    style: str
    """The class of the colour; empty for none."""
    share: str
    """What the word adds; empty for what is between words."""


@dataclass(frozen=True)
class _Part:
    text: str
    value: str
    is_for: bool


@dataclass(frozen=True)
class _Card:
    """A mistake as the page shows it."""

    mistake: Mistake
    pair: str
    """The position of the pair among the pairs that the page can be filtered by."""
    passages: Sequence[_Passage]
    cut: int
    """How many characters at the end are not shown."""
    is_long: bool
    parts: Sequence[_Part]
    unit: str
    remainder: str
    remainder_count: int


@dataclass(frozen=True)
class _PairRow:
    pair: Pair
    count: int
    shown: int
    """How many of its mistakes are on the page."""


def write_errors_page(path: Path, source: Source, report: Report, mistakes: Mistakes) -> None:
    """Write the page. It holds the texts of the mistakes; raises PageError if the file cannot be written."""
    _write(path, render_errors_page(source, report, mistakes))


def write_multilabel_errors_page(
    path: Path, source: Source, report: MultilabelReport, mistakes: Mistakes
) -> None:
    """Write the page of a model with several labels, whose mistakes are pairs of a text and a label."""
    figures = report.evaluation
    head = _Head(
        predictions=figures.rows * len(figures.labels),
        unit="pairs of a text and a label",
        first_figure=("Micro F1", f"{figures.micro.f1:.4f}"),
        texts=figures.rows,
        ece=figures.ece,
        pairs="label",
        blue="the label that is missing or wrong",
    )
    _write(path, _render(source, head, mistakes))


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise PageError(f"{path} cannot be written: {error.strerror}") from error


def render_errors_page(source: Source, report: Report, mistakes: Mistakes) -> str:
    """Return the page as HTML. Jinja escapes every value, so a text is never read as HTML."""
    figures = report.evaluation
    head = _Head(
        predictions=figures.rows,
        unit="texts",
        first_figure=("Accuracy", f"{100 * figures.accuracy:.2f} %"),
        texts=figures.rows,
        ece=figures.ece,
        pairs="pair of classes",
        blue="the wrong prediction",
    )
    return _render(source, head, mistakes)


def _render(source: Source, head: _Head, mistakes: Mistakes) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    style, script = _asset("errors.css"), _asset("errors.js")
    shown = Counter((one.truth, one.predicted) for one in mistakes.worst)
    on_page = [pair for pair, _ in mistakes.pairs if shown[pair]]
    places = {pair: str(place) for place, pair in enumerate(on_page)}
    rows = [_PairRow(pair, count, shown[pair]) for pair, count in mistakes.pairs]
    return environment.get_template("errors.html").render(
        source=source,
        head=head,
        total=mistakes.total,
        shown=len(mistakes.worst),
        rows=rows[:MAX_SHOWN_PAIRS],
        other_rows=len(rows) - len(rows[:MAX_SHOWN_PAIRS]),
        other_count=sum(row.count for row in rows[MAX_SHOWN_PAIRS:]),
        choices=[(places[pair], pair, shown[pair]) for pair in on_page],
        cards=[_card(one, places[one.truth, one.predicted]) for one in mistakes.worst],
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _asset(name: str) -> Markup:
    """A file of this project that is put into the page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704


def _hash(content: str) -> str:
    """The source of an inline style or script in a Content-Security-Policy (CSP Level 3, 2.3.1)."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _card(mistake: Mistake, pair: str) -> _Card:
    explanation = mistake.explanation
    text = mistake.text[:MAX_TEXT_CHARS]
    top, remainder = explanation.top(MAX_PARTS)
    return _Card(
        mistake=mistake,
        pair=pair,
        passages=_passages(text, explanation),
        cut=len(mistake.text) - len(text),
        is_long=len(text) > FOLDED_CHARACTERS,
        parts=[_part(one) for one in top],
        unit=_UNITS[explanation.unit],
        remainder=_signed(remainder.value),
        remainder_count=remainder.count,
    )


def _passages(text: str, explanation: Explanation) -> list[_Passage]:
    words = [word for word in explanation.words if word.place[1] <= len(text)]
    shown = []
    for passage in passages(text, words):
        step = passage.step(COLOUR_STEPS)
        style = "" if step == 0 else f"for{step}" if step > 0 else f"against{-step}"
        shown.append(_Passage(passage.text, style, _signed(passage.share) if passage.share else ""))
    return shown


def _part(contribution: Contribution) -> _Part:
    text = contribution.text
    cut = text if len(text) <= MAX_PART_CHARACTERS else text[: MAX_PART_CHARACTERS - 1] + "…"
    return _Part(cut, _signed(contribution.value), contribution.value > 0)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
