"""The database of one job: its tables, and the changes that pages and workers make to its state."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from datafiles import Options
from ui.jobs.locks import FILE_MODE
from ui.jobs.values import ACTIVE, RETRIED, Choices, ExportKind, JobError, ProblemKind, Stage

LOCK_SECONDS = 10.0
"""How long a statement waits for the transaction of another process; those last some milliseconds."""

MAX_STARTS = 4
"""Most workers in a row that are started before one of them has classified a row: one, and three more."""

_ACTIVE = ", ".join(f"'{stage}'" for stage in sorted(ACTIVE))
_RETRIED = ", ".join(f"'{kind}'" for kind in sorted(RETRIED))

# The texts have a table of their own, because a query that counts or sorts the results then reads a tenth of
# the bytes. A result is inserted once and never updated, so a row that is sent twice is stored once.
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
CREATE TABLE job (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    name TEXT NOT NULL,
    stage TEXT NOT NULL,
    is_active INTEGER NOT NULL AS (stage IN ({_ACTIVE})),
    reason TEXT,
    choices TEXT,
    is_read INTEGER NOT NULL DEFAULT 0,
    read_share REAL NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0,
    classified INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    texts_per_second REAL,
    starts INTEGER NOT NULL DEFAULT 0,
    started_at REAL,
    ended_at REAL,
    models TEXT NOT NULL DEFAULT '[]',
    labels TEXT NOT NULL DEFAULT '[]',
    notices TEXT NOT NULL DEFAULT '[]',
    has_several_labels INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE texts (
    number INTEGER PRIMARY KEY,
    true_label TEXT,
    length INTEGER NOT NULL,
    text TEXT NOT NULL,
    true_labels TEXT
);
CREATE TABLE results (
    number INTEGER PRIMARY KEY,
    true_label TEXT,
    length INTEGER NOT NULL,
    label TEXT,
    confidence REAL,
    probabilities TEXT,
    warnings TEXT,
    kind TEXT,
    is_retried INTEGER AS (kind IN ({_RETRIED})),
    problem TEXT,
    labels TEXT,
    true_labels TEXT
);
CREATE TABLE exports (
    kind TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    time REAL NOT NULL,
    problem TEXT,
    notices TEXT NOT NULL DEFAULT '[]'
);
"""


@dataclass(frozen=True)
class JobState:
    """The row of the job, which has all counters, so that watching a job counts no rows."""

    name: str
    stage: Stage
    reason: str | None
    choices: Choices | None
    is_read: bool
    read_share: float
    rows: int
    classified: int
    failed: int
    texts_per_second: float | None
    started_at: float | None
    ended_at: float | None
    models: tuple[str, ...]
    labels: tuple[str, ...]
    notices: tuple[str, ...]
    has_several_labels: bool

    @property
    def version(self) -> str:
        """Changes when results are added or dropped while the job is not active."""
        return f"{self.ended_at} {self.classified} {self.failed}"


def create(path: Path, name: str) -> None:
    """Make the database of a new job."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    with connection(path) as database:
        database.executescript(_SCHEMA)
        database.execute("INSERT INTO job (number, name, stage) VALUES (1, ?, ?)", (name, Stage.NEW))


@contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for one thread, and close it. Raises JobError if it is not there or cannot be used."""
    try:
        with closing(
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", LOCK_SECONDS, isolation_level=None, uri=True
            )
        ) as database:
            # A process that is killed loses nothing; a computer that loses its power loses the last seconds.
            database.execute("PRAGMA synchronous = NORMAL")
            yield database
    except sqlite3.Error as error:
        if not path.exists():
            raise JobError("This job was deleted.") from error
        raise JobError(f"The database of the job cannot be used: {error}.") from error


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Make all changes inside together, or none of them."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:  # SQLite itself has rolled back if the disk is full
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@contextmanager
def snapshot(database: sqlite3.Connection) -> Iterator[None]:
    """Let all queries inside see the same rows, although a worker may add some meanwhile."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        database.execute("ROLLBACK")


def state(database: sqlite3.Connection) -> JobState:
    """Read the state of the job. Raises JobError if it is damaged."""
    columns = ", ".join(column.name for column in fields(JobState))
    cursor = database.execute(f"SELECT {columns} FROM job")  # noqa: S608 - made of constants
    cursor.row_factory = sqlite3.Row
    try:
        return _decoded(cursor.fetchone())
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise JobError(f"The database of the job cannot be used: its state is damaged ({error}).") from error


def _decoded(row: sqlite3.Row) -> JobState:
    return JobState(
        name=row["name"],
        stage=Stage(row["stage"]),
        reason=row["reason"],
        choices=_choices(row["choices"]) if row["choices"] else None,
        is_read=bool(row["is_read"]),
        read_share=row["read_share"],
        rows=row["rows"],
        classified=row["classified"],
        failed=row["failed"],
        texts_per_second=row["texts_per_second"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        models=tuple(json.loads(row["models"])),
        labels=tuple(json.loads(row["labels"])),
        notices=tuple(json.loads(row["notices"])),
        has_several_labels=bool(row["has_several_labels"]),
    )


def _choices(encoded: str) -> Choices:
    values = json.loads(encoded)
    return Choices(**values | {"options": Options(**values["options"])})


def start(database: sqlite3.Connection, choices: Choices) -> None:
    """Let a new job run with these choices; a job that was started before keeps its own."""
    database.execute(
        "UPDATE job SET stage = ?, choices = ?, started_at = ? WHERE stage = ?",
        (Stage.WAITING, json.dumps(asdict(choices)), time.time(), Stage.NEW),
    )


def resume(database: sqlite3.Connection) -> None:
    """Let a job run that was cancelled or has stopped; changes no other job."""
    database.execute(
        "UPDATE job SET stage = ?, reason = NULL, starts = 0, ended_at = NULL WHERE stage IN (?, ?)",
        (Stage.WAITING, Stage.CANCELLED, Stage.STOPPED),
    )


def cancel(database: sqlite3.Connection) -> None:
    """Let an active job end; changes no other job."""
    end(database, Stage.CANCELLED, None)


def retry_failed(database: sqlite3.Connection) -> None:
    """Drop the problems that can be gone at another attempt, and let the job run if there are any.

    Changes nothing while the job is active.
    """
    with transaction(database):
        if not database.execute("SELECT 1 FROM job WHERE NOT is_active").fetchone():
            return
        dropped = database.execute("DELETE FROM results WHERE is_retried").rowcount
        if dropped:
            database.execute(
                "UPDATE job SET stage = ?, reason = NULL, starts = 0, ended_at = NULL, failed = failed - ?",
                (Stage.WAITING, dropped),
            )


def end(database: sqlite3.Connection, stage: Stage, reason: str | None) -> None:
    """Let an active job end in this stage; a job that was cancelled stays so."""
    database.execute(
        "UPDATE job SET stage = ?, reason = ?, ended_at = ?, texts_per_second = NULL WHERE is_active",
        (stage, reason, time.time()),
    )


def enter(database: sqlite3.Connection, stage: Stage, reason: str | None = None) -> None:
    """Note what an active job does now; a job that was cancelled stays so."""
    database.execute("UPDATE job SET stage = ?, reason = ? WHERE is_active", (stage, reason))


def is_active(database: sqlite3.Connection) -> bool:
    """Whether the job is neither cancelled nor at its end."""
    return database.execute("SELECT 1 FROM job WHERE is_active").fetchone() is not None


def count_start(database: sqlite3.Connection) -> bool:
    """Count that a worker is about to start. Returns whether it may.

    It may not if the job is not active, or if too many workers in a row ended without a classified row. Such
    a job ends as STOPPED.
    """
    with transaction(database):
        found = database.execute(
            "UPDATE job SET starts = starts + 1 WHERE is_active RETURNING starts"
        ).fetchone()
        if found is None:
            return False
        if found[0] <= MAX_STARTS:
            return True
        end(
            database,
            Stage.STOPPED,
            f"The worker process ended {MAX_STARTS} times in a row before it had classified a row; "
            "worker.log in the folder of the job says more.",
        )
        return False


def forget_starts(database: sqlite3.Connection) -> None:
    """Note that the worker ends because it was asked to, and not because something is wrong."""
    database.execute("UPDATE job SET starts = 0")


@dataclass(frozen=True)
class ExportState:
    """How the last export of one kind went."""

    version: str
    """The version of the results."""
    time: float
    """When it began."""
    problem: str | None
    notices: tuple[str, ...]


def export_state(database: sqlite3.Connection, kind: ExportKind) -> ExportState | None:
    """How the last export of this kind went; None if there was none."""
    row = database.execute(
        "SELECT version, time, problem, notices FROM exports WHERE kind = ?", (kind,)
    ).fetchone()
    if row is None:
        return None
    version, began_at, problem, notices = row
    return ExportState(version, began_at, problem, tuple(json.loads(notices)))


def begin_export(database: sqlite3.Connection, kind: ExportKind, version: str) -> None:
    """Note that an export begins. Until it ends, its problem is that it has not."""
    database.execute(
        "INSERT OR REPLACE INTO exports (kind, version, time, problem) VALUES (?, ?, ?, ?)",
        (kind, version, time.time(), "The process that wrote the file ended before the file was complete."),
    )


def end_export(
    database: sqlite3.Connection, kind: ExportKind, problem: str | None, notices: Sequence[str]
) -> None:
    """Note how an export ended; without a problem, its file is complete."""
    database.execute(
        "UPDATE exports SET problem = ?, notices = ? WHERE kind = ?", (problem, json.dumps(notices), kind)
    )


def problem_kinds(database: sqlite3.Connection) -> dict[ProblemKind, int]:
    """Count the rows by problem, most frequent first."""
    rows = database.execute(
        "SELECT kind, COUNT(*) FROM results WHERE kind IS NOT NULL GROUP BY kind ORDER BY COUNT(*) DESC, kind"
    )
    return {ProblemKind(kind): count for kind, count in rows}
