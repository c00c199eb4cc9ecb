"""What a person should know about the data of a training before trusting the model."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from classifier.validation import listed, shortened
from training_import.dataset import Dataset
from training_import.evaluation.metrics import Evaluation
from training_import.training.material import DataSets

FEW_HELD_OUT_TEXTS = 100
"""With fewer held-out texts, the interval of the accuracy is more than about ten points wide."""

_SHOWN_CHARACTERS = 60
_SHOWN_CLASSES = 5


def doubts(
    data: DataSets, held_out: Evaluation, test: Evaluation | None, left_out: int, few_rows: int
) -> tuple[str, ...]:
    """Return warnings, one sentence each.

    `held_out` and `test` are the figures of the finished model. `left_out` is the number of training texts
    that overlap with test texts. A class with fewer than `few_rows` rows is hardly learned.
    """
    return (
        *_of_accuracy("held-out", held_out),
        *(() if test is None else _of_accuracy("test", test)),
        *_of_counts(data.main, held_out, few_rows),
        *_of_repeated_texts(data.main),
        *_of_overlap(data, left_out),
    )


def _of_accuracy(name: str, figures: Evaluation) -> Iterator[str]:
    if not figures.is_above_baseline:
        low, high = figures.accuracy_interval
        yield (
            f"The accuracy on the {name} texts is not above that of the same answer to all of them, which is "
            f"right for {100 * figures.baseline:.1f} %: its 95 % interval is {100 * low:.1f} to "
            f"{100 * high:.1f} %."
        )


def _of_counts(data: Dataset, held_out: Evaluation, few_rows: int) -> Iterator[str]:
    if held_out.rows < FEW_HELD_OUT_TEXTS:
        yield (
            f"Only {held_out.rows} texts are held out; with fewer than {FEW_HELD_OUT_TEXTS} the figures are "
            "rough."
        )
    few = [(label, count) for label, count in Counter(data.labels).items() if count < few_rows]
    if few:
        rarest = sorted(few, key=lambda item: (item[1], item[0]))
        shown = listed([f"{label!r} ({count})" for label, count in rarest], _SHOWN_CLASSES)
        yield f"Classes with fewer than {few_rows} rows are hardly learned: {shown}."


def _of_repeated_texts(data: Dataset) -> Iterator[str]:
    rows_of = defaultdict(list)
    for row, text in enumerate(data.texts):
        rows_of[text.strip()].append(row)
    repeated = len(data.texts) - len(rows_of)
    if repeated:
        yield (
            f"{repeated:,} rows repeat the text of an earlier row; a copy of a held-out text may be trained "
            "on, so the held-out figures may be too good."
        )
    pairs = [
        next((pair for pair in pairwise(rows) if data.labels[pair[0]] != data.labels[pair[1]]), None)
        for rows in rows_of.values()
    ]
    contradicting = [pair for pair in pairs if pair is not None]
    if contradicting:
        texts = "1 text occurs" if len(contradicting) == 1 else f"{len(contradicting):,} texts occur"
        one, other = (f"{data.labels[row]!r}{_place(data, row)}" for row in contradicting[0])
        text = shortened(" ".join(data.texts[contradicting[0][0]].split()), _SHOWN_CHARACTERS)
        yield f"{texts} with more than one label, such as {text!r}: {one} and {other}."


def _place(data: Dataset, row: int) -> str:
    place = data.place_of(row)
    return f" in {place}" if place else ""


def _of_overlap(data: DataSets, left_out: int) -> Iterator[str]:
    if data.test is not None:
        known = set(data.main.texts)
        copies = sum(text in known for text in data.test.texts)
        if copies:
            yield (
                f"{copies:,} of the {len(data.test.texts):,} texts of {data.test.name} are also in "
                f"{data.main.name}."
            )
    if left_out:
        texts = "1 text is" if left_out == 1 else f"{left_out:,} texts are"
        yield f"{texts} left out of the training, because of an overlap with test texts."
