"""Puts the texts of a job together for requests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from classifier.schema import MAX_TEXTS
from ui.jobs.store import Store, Text

MAX_BATCH_BYTES = 2**20
"""Most bytes of the texts of one request in UTF-8, but at least one text."""


@dataclass(frozen=True)
class Batch:
    """Texts for one request."""

    rows: tuple[Text, ...]
    failures: int = 0
    """How often the service failed on it, or on the batch that it was a part of."""
    not_before: float = float("-inf")
    """It may be sent from this time on."""

    def halves(self) -> tuple["Batch", "Batch"]:
        """Its first and its second half. It must have at least two rows."""
        middle = len(self.rows) // 2
        return Batch(self.rows[:middle], self.failures), Batch(self.rows[middle:], self.failures)


def open_batches(store: Store) -> Iterator[Batch]:
    """All texts that have no result, in the order of the file. Each one is read when it is needed."""
    after = 0
    while rows := store.open_texts(after, MAX_TEXTS):
        batch = Batch(tuple(_that_fit(rows)))
        after = batch.rows[-1].number
        yield batch


def _that_fit(rows: Sequence[Text]) -> Sequence[Text]:
    size = 0
    for place, row in enumerate(rows):
        size += len(row.text.encode())
        if size > MAX_BATCH_BYTES and place > 0:
            return rows[:place]
    return rows
