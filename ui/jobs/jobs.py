"""The jobs of all visitors: how pages start, watch, end and delete them."""

import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from datafiles import Options
from ui.jobs import database as db
from ui.jobs import queries
from ui.jobs.folder import FOLDER_MODE, JobFolder, is_id, new_id
from ui.jobs.locks import FILE_MODE, Lock, try_lock, wait_for_lock
from ui.jobs.preview import preview
from ui.jobs.processes import start_process
from ui.jobs.values import (
    Choices,
    Export,
    ExportKind,
    Filter,
    JobError,
    Labelled,
    LabelledSets,
    Order,
    Preview,
    Progress,
    Result,
    Stage,
    Summary,
)
from ui.settings import Settings

MAX_NAME_CHARS = 150

READING_SHARE = 0.1
"""The part of the progress bar that reading the file takes."""

PROBLEM_SECONDS = 30.0
"""For so long an export that failed is not tried again, so that its problem can be read."""

_COPY_BYTES = 2**20
_UNFINISHED, _DELETED = ".new-", ".deleted-"
"""How the names of folders begin that are not yet, or no longer, those of a job."""


@dataclass(frozen=True)
class _Kept:
    """A job that is there when room is made for another one."""

    folder: JobFolder
    changed_at: float
    bytes: int
    is_active: bool


class Job:
    """One job. Any number of threads and processes may use it at once."""

    def __init__(self, folder: JobFolder, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self.id = folder.path.name
        with db.connection(folder.database) as database:
            self.name = db.state(database).name
            """The name of the file as it was uploaded; a very long one is shortened."""

    @property
    def path(self) -> Path:
        """The uploaded file."""
        return self._folder.upload

    def preview(self, options: Options) -> Preview:
        """Look at the columns and the first rows of the file. Raises JobError if it cannot be used."""
        return preview(self._folder, self.name, options, self._settings)

    def start(self, choices: Choices) -> None:
        """Let the job run. A job that was started before goes on with the choices that it has."""
        with db.connection(self._folder.database) as database:
            db.start(database, choices)
        self._ensure_worker()

    def resume(self) -> None:
        """Let a job that was cancelled or has stopped go on where it was; any other job stays as it is."""
        with db.connection(self._folder.database) as database:
            db.resume(database)
        self._ensure_worker()

    def cancel(self) -> None:
        """Let the job end, if it is active. Answers to requests that are in flight are still stored."""
        with db.connection(self._folder.database) as database:
            db.cancel(database)

    def retry_failed(self) -> None:
        """Send the rows again that the service rejected or failed on, if the job is not active."""
        with db.connection(self._folder.database) as database:
            db.retry_failed(database)
        self._ensure_worker()

    def progress(self) -> Progress:
        """How far the job is. An active job whose worker process has died goes on with a new one."""
        with db.connection(self._folder.database) as database:
            state = db.state(database)
        if state.stage.is_active and self._ensure_worker():
            with db.connection(self._folder.database) as database:
                state = db.state(database)
        return _progress(state)

    def count(self, where: Filter) -> int:
        """Count the rows with a result that fulfil the conditions."""
        with db.connection(self._folder.database) as database:
            return queries.count(database, where)

    def page(self, where: Filter, order: Order, offset: int, limit: int) -> list[Result]:
        """The rows with a result that fulfil the conditions, from `offset` on, at most `limit` of them."""
        with db.connection(self._folder.database) as database:
            return queries.page(database, where, order, offset, limit)

    def result(self, number: int) -> Result | None:
        """The result of a row; None if it has none yet, or if there is no such row."""
        with db.connection(self._folder.database) as database:
            return queries.result(database, number)

    def summary(self) -> Summary:
        """All results in numbers."""
        with db.connection(self._folder.database) as database, db.snapshot(database):
            return queries.summary(database)

    def labelled(self) -> Labelled:
        """The classified rows with a true label, as arrays."""
        with db.connection(self._folder.database) as database, db.snapshot(database):
            return queries.labelled(database)

    def labelled_sets(self) -> LabelledSets:
        """The classified rows whose true labels are known, as arrays, if a text can have several labels."""
        with db.connection(self._folder.database) as database, db.snapshot(database):
            return queries.labelled_sets(database)

    def export(self, kind: ExportKind) -> Export:
        """The file with all rows and their results. The first call has it written; later calls look for it.

        Once the results have changed, the file is written anew. A problem is reported for half a minute, and
        a call after that tries again. A job that is new or active cannot be exported.
        """
        with db.connection(self._folder.database) as database:
            state = db.state(database)
            if state.stage.is_active or state.stage is Stage.NEW:
                return Export(problem="The file can be made once the job has ended.")
            lock = _try_lock(self._folder.export_lock(kind))
            if lock is None:
                return Export(is_running=True)
            with lock:
                last = db.export_state(database, kind)
                if last is not None and last.version == state.version:
                    if last.problem is None:
                        return Export(self._folder.export(kind), notices=last.notices)
                    if time.time() - last.time < PROBLEM_SECONDS:
                        return Export(problem=last.problem)
                db.begin_export(database, kind, state.version)
                start_process(
                    "ui.jobs.export",
                    (kind,),
                    self._folder,
                    self._folder.export_log(kind),
                    lock,
                    self._settings,
                )
        return Export(is_running=True)

    def _ensure_worker(self) -> bool:
        """Start a worker if the job is active and has none. Returns whether there was no worker."""
        lock = _try_lock(self._folder.worker_lock)
        if lock is None:
            return False
        with lock:
            with db.connection(self._folder.database) as database:
                may_start = db.count_start(database)
            if may_start:
                start_process(
                    "ui.jobs.worker",
                    (),
                    self._folder,
                    self._folder.worker_log,
                    lock,
                    self._settings,
                )
        return True


class Jobs:
    """All jobs of one folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.jobs_folder
        try:
            self._folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise JobError(
                f"CLASSIFIER_UI_JOBS_FOLDER is {self._folder}, which cannot be used: {error}."
            ) from error

    def create(self, upload: BinaryIO, name: str) -> Job:
        """Keep an uploaded file as a new job.

        Jobs that are too old are deleted, and then the oldest ones that are not active until there is room.
        Raises JobError if that is not enough, or if the file cannot be written.
        """
        with self._creating():
            self._make_room(upload.seek(0, os.SEEK_END))
            upload.seek(0)
            job_id = new_id()
            unfinished = JobFolder(self._folder / f"{_UNFINISHED}{job_id}")
            try:
                unfinished.path.mkdir(FOLDER_MODE)
                _copy(upload, unfinished.upload)
                db.create(unfinished.database, _shown_name(name))
                unfinished.path.rename(self._folder / job_id)
            except (OSError, JobError) as error:  # JobError: of the database, as on a full disk
                shutil.rmtree(unfinished.path, ignore_errors=True)
                raise JobError(f"The file cannot be stored: {str(error).removesuffix('.')}.") from error
        return Job(JobFolder(self._folder / job_id), self._settings)

    def find(self, job_id: str) -> Job | None:
        """The job with this id, if there is one."""
        folder = self._existing(job_id)
        return None if folder is None else Job(folder, self._settings)

    def delete(self, job_id: str) -> None:
        """Delete a job with its files, if there is one. Raises JobError if it is active."""
        folder = self._existing(job_id)
        if folder is None:
            return
        if _is_active(folder):
            raise JobError("A job that runs cannot be deleted. Cancel it first.")
        self._delete(folder)

    def recover(self) -> None:
        """Go on with every job that was active, after a restart."""
        for folder in self._folders():
            with suppress(
                JobError
            ):  # one that is damaged or deleted just now does not keep the others waiting
                Job(folder, self._settings).progress()

    def _existing(self, job_id: str) -> JobFolder | None:
        folder = JobFolder(self._folder / job_id)
        return folder if is_id(job_id) and folder.database.exists() else None

    def _creating(self) -> Lock:
        """The lock of who makes a job; waits until it is free."""
        try:
            return wait_for_lock(self._folder / ".create.lock")
        except OSError as error:
            raise JobError(f"The file cannot be stored: {error}.") from error

    def _folders(self) -> list[JobFolder]:
        """The folders of all jobs."""
        folders = (JobFolder(path) for path in self._folder.iterdir() if is_id(path.name))
        return [folder for folder in folders if folder.database.exists()]

    def _make_room(self, size: int) -> None:
        """Delete jobs until there is room for one with an upload of `size` bytes."""
        most, most_bytes = self._settings.ui_max_jobs, self._settings.ui_max_jobs_bytes
        if size > most_bytes:
            raise JobError(f"The file has {size:,} bytes; all jobs together may have {most_bytes:,}.")
        self._delete_leftovers()
        kept = deque(sorted(self._young_jobs(), key=lambda job: job.changed_at))
        deletable = deque(job for job in kept if not job.is_active)
        count, used = len(kept), sum(job.bytes for job in kept)
        while count >= most or used + size > most_bytes:
            if not deletable:
                raise JobError(
                    f"There is no room for another job: {count} of at most {most} jobs use {used:,} of at "
                    f"most {most_bytes:,} bytes, and all of them run. Try again when one has ended."
                )
            oldest = deletable.popleft()
            self._delete(oldest.folder)
            count, used = count - 1, used - oldest.bytes

    def _young_jobs(self) -> Iterator[_Kept]:
        """All jobs but those that are too old, which are deleted unless a worker is busy with them."""
        oldest = time.time() - self._settings.max_job_seconds
        for folder in self._folders():
            changed_at = folder.changed_at()
            if changed_at < oldest and (lock := try_lock(folder.worker_lock)):
                with lock:
                    self._delete(folder)
            else:
                yield _Kept(folder, changed_at, folder.bytes(), _is_active(folder))

    def _delete(self, folder: JobFolder) -> None:
        """Delete a folder. It is renamed first, so that no one finds a job that is partly deleted."""
        deleted = self._folder / f"{_DELETED}{folder.path.name}"
        with suppress(FileNotFoundError):  # another process has deleted it just now
            folder.path.rename(deleted)
        shutil.rmtree(deleted, ignore_errors=True)

    def _delete_leftovers(self) -> None:
        """Delete what processes left that were killed while they made or deleted a job."""
        for path in self._folder.iterdir():
            # No other process is making a job now, since this one holds the lock for that.
            if path.name.startswith((_UNFINISHED, _DELETED)):
                shutil.rmtree(path, ignore_errors=True)


def _is_active(folder: JobFolder) -> bool:
    """Whether a job is active; one whose database is damaged is not."""
    try:
        with db.connection(folder.database) as database:
            return db.is_active(database)
    except JobError:
        return False


def _try_lock(path: Path) -> Lock | None:
    try:
        return try_lock(path)
    except FileNotFoundError as error:
        raise JobError("This job was deleted.") from error
    except OSError as error:
        raise JobError(f"The job's file {path.name} cannot be used: {error}.") from error


def _copy(upload: BinaryIO, path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(fd, "wb") as file:
        shutil.copyfileobj(upload, file, _COPY_BYTES)


def _shown_name(name: str) -> str:
    """The name of a file without its folders and without characters that do not print.

    The end of a long name is kept, since it says the kind of the file.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(character if character.isprintable() else "_" for character in last)
    if len(printable) <= MAX_NAME_CHARS:
        return printable
    half = MAX_NAME_CHARS // 2
    return f"{printable[:half]}…{printable[-half:]}"


def _progress(state: db.JobState) -> Progress:
    ended = state.classified + state.failed
    classified_share = ended / state.rows if state.rows and state.is_read else 0.0
    speed = state.texts_per_second if state.stage is Stage.RUNNING else None
    return Progress(
        stage=state.stage,
        reason=state.reason,
        rows=state.rows,
        classified=state.classified,
        failed=state.failed,
        share=READING_SHARE * state.read_share + (1 - READING_SHARE) * classified_share,
        texts_per_second=speed,
        seconds_left=(state.rows - ended) / speed if speed else None,
        labels=state.labels,
        has_several_labels=state.has_several_labels,
        models=state.models,
        notices=state.notices,
        started_at=state.started_at,
        ended_at=state.ended_at,
        choices=state.choices,
    )
