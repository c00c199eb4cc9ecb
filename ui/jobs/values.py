"""The values that the pages and the jobs exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from datafiles import Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE_BINS = 20
"""Bins of the histogram of confidences, all of the same width, from 0 to 1."""

LABEL_SEPARATOR = "|"
"""Between the labels of a text in a cell of a file with results, if a text can have several."""

ExportKind = Literal["csv", "parquet", "xlsx"]


class JobError(Exception):
    """A job cannot do what was asked; the message is a sentence for the user."""


class Busy(JobError):
    """It cannot be done just now, because others do the same or the computer has no room; later it can."""


class Stage(StrEnum):
    """What a job is doing."""

    NEW = "new"
    """Its file is uploaded, and the user has not started it."""
    WAITING = "waiting"
    """It waits until fewer jobs run."""
    READING = "reading"
    RUNNING = "running"
    PAUSED = "paused"
    """The service is full or away. The job goes on by itself."""
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    """It gave up or crashed. It can be resumed."""
    FINISHED = "finished"

    @property
    def is_active(self) -> bool:
        """Whether a worker process is, or should be, busy with the job."""
        return self in ACTIVE


ACTIVE = frozenset({Stage.WAITING, Stage.READING, Stage.RUNNING, Stage.PAUSED})


class ProblemKind(StrEnum):
    """Why a row has no prediction, in few words."""

    BAD_ROW = "row differs from the columns"
    MISSING = "no text"
    NOT_TEXT = "not text"
    BLANK = "blank"
    TOO_LONG = "too long"
    NOT_UNICODE = "not valid Unicode"
    REJECTED = "rejected by the service"
    FAILED = "the service failed"


RETRIED = frozenset({ProblemKind.REJECTED, ProblemKind.FAILED})
"""Problems that can be gone at another attempt. The others are in the file."""


@dataclass(frozen=True)
class Choices:
    """What the user chose for a file."""

    text_column: str
    label_column: str | None = None
    """The column with the true labels, if there is one."""
    options: Options = field(default_factory=Options)
    label_separator: str | None = None
    """What separates several true labels in a cell; None if a cell has one label, or a list of them."""


@dataclass(frozen=True)
class Preview:
    """The beginning of a file."""

    kind: str
    """What kind of file it is, such as "CSV"."""
    columns: tuple[str, ...]
    notices: tuple[str, ...]
    """What was decided about the file without asking the user, one sentence each."""
    text_column: str | None
    """The column that probably has the texts."""
    label_column: str | None
    """The column that probably has the right labels."""
    rows: tuple[tuple[str, ...], ...]
    """The first rows, with as many values as there are columns; of a long value, only its beginning."""


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    stage: Stage
    reason: str | None
    """A sentence that says why the job is paused or has stopped."""
    rows: int
    """Rows of the file; while it is read, the rows so far."""
    classified: int
    failed: int
    """Rows with a problem."""
    share: float
    """Of reading and classifying together, from 0 to 1."""
    texts_per_second: float | None
    """In the last ten seconds; None unless the job is running."""
    seconds_left: float | None
    labels: tuple[str, ...]
    """The labels that the service has given a probability for, in its order."""
    has_several_labels: bool
    """Whether the service has given a text several labels, or none."""
    models: tuple[str, ...]
    """The models that answered, as name:version; usually one."""
    notices: tuple[str, ...]
    """What was decided about the file without asking the user, one sentence each."""
    started_at: float | None
    """Seconds since 1970."""
    ended_at: float | None
    choices: Choices | None
    """None until the job is started."""


@dataclass(frozen=True)
class Filter:
    """Which rows are shown; a row must fulfil all conditions."""

    labels: frozenset[str] | None = None
    """The predicted label is one of these, or one of several predicted labels is."""
    min_confidence: float | None = None
    max_confidence: float | None = None
    contains: str | None = None
    """The text has this in it, in upper or lower case."""
    only_problems: bool = False
    only_mistakes: bool = False
    """The true label is known and differs from the predicted one; of several labels, any differs."""
    only_without_label: bool = False
    """The text can have several labels, and has none."""


class OrderBy(StrEnum):
    """What rows can be sorted by."""

    ROW = "row"
    LABEL = "label"
    CONFIDENCE = "confidence"
    LENGTH = "length"


@dataclass(frozen=True)
class Order:
    """How rows are sorted. Equal rows are in the order of the file, and rows without a value come last."""

    by: OrderBy = OrderBy.ROW
    descending: bool = False


@dataclass(frozen=True)
class Result:
    """What came of one row: a prediction or a problem."""

    number: int
    """1 for the first row after the header."""
    text: str
    """Without white space at both ends; of a text that is too long, only its beginning."""
    length: int
    """Characters of the whole text, without white space at both ends."""
    true_label: str | None
    label: str | None
    """The most probable label, if the text can have several."""
    confidence: float | None
    probabilities: Mapping[str, float]
    warnings: tuple[str, ...]
    kind: ProblemKind | None
    problem: str | None
    labels: tuple[str, ...] | None = None
    """All predicted labels, if the text can have several."""
    true_labels: tuple[str, ...] | None = None
    """The true labels, if there can be several and they are known."""


@dataclass(frozen=True)
class Summary:
    """All results of a job in numbers."""

    labels: tuple[str, ...]
    """All labels that the service gave a probability for, in its order."""
    rows_by_label: Mapping[str, int]
    """Rows by predicted label; a label that was never predicted has 0. A row with several counts for each."""
    without_label: int
    """Classified rows without any label."""
    confidences: Mapping[str, tuple[int, ...]]
    """For each label that is the most probable one, the rows in each of `CONFIDENCE_BINS` bins."""
    problems: Mapping[ProblemKind, int]
    """Rows by problem, most frequent first; only problems that occur."""
    labelled: int
    """Classified rows with a true label."""
    right: int
    """Those of them whose true label, or whose set of true labels, was predicted."""

    @property
    def accuracy(self) -> float | None:
        """The share of the labelled rows that is right; None if there are no labelled rows."""
        return self.right / self.labelled if self.labelled else None


@dataclass(frozen=True)
class Labelled:
    """The classified rows with a true label, n of them, in the order of the file."""

    names: tuple[str, ...]
    """All k labels of the model, in its order, and then true labels that the model does not have."""
    numbers: NDArray[np.int64]
    """Shape (n,)."""
    true: NDArray[np.int32]
    """Shape (n,); positions in `names`."""
    predicted: NDArray[np.int32]
    """Shape (n,); positions in `names`."""
    probabilities: NDArray[np.float32]
    """Shape (n, k)."""


@dataclass(frozen=True)
class LabelledSets:
    """The n classified rows whose true labels are known, if a text can have several of k labels.

    The rows are in the order of the file. Rows with a true label that the model does not have are left out.
    """

    names: tuple[str, ...]
    """The labels of the model, in its order."""
    numbers: NDArray[np.int64]
    """Shape (n,)."""
    true: NDArray[np.bool_]
    """Shape (n, k)."""
    predicted: NDArray[np.bool_]
    """Shape (n, k)."""
    probabilities: NDArray[np.float32]
    """Shape (n, k)."""
    left_out: Mapping[str, int]
    """The rows that are left out, by the first true label that the model does not have."""


@dataclass(frozen=True)
class Export:
    """A file with all rows and their results, or the reason why it is not there."""

    path: Path | None = None
    is_running: bool = False
    problem: str | None = None
    notices: tuple[str, ...] = ()
    """What this kind of file cannot hold, and was changed in it, one sentence each."""
