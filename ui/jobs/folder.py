"""The files of one job, and where they are."""

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from ui.jobs.values import ExportKind

FOLDER_MODE = 0o700

PRIVATE_UMASK = 0o077
"""For the processes of a job, so that only its owner may read what they write."""

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def new_id() -> str:
    """An id with 128 bits of chance, which nobody can guess: who knows it may see the job."""
    return secrets.token_urlsafe(16)


def is_id(text: str) -> bool:
    """Whether a text can be the id of a job, so that it is safe as the name of a folder."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True)
class JobFolder:
    """The files of one job."""

    path: Path

    @property
    def upload(self) -> Path:
        """The uploaded file, byte for byte."""
        return self.path / "upload"

    @property
    def database(self) -> Path:
        """Everything that is known about the job. The folder belongs to a job once it exists."""
        return self.path / "job.sqlite"

    @property
    def worker_lock(self) -> Path:
        """Locked while a worker process is busy with the job, and while the job is deleted."""
        return self.path / "worker.lock"

    @property
    def worker_log(self) -> Path:
        """The output of the last worker process."""
        return self.path / "worker.log"

    def export(self, kind: ExportKind) -> Path:
        """The file that a user downloads."""
        return self.path / f"export.{kind}"

    def unfinished_exports(self, kind: ExportKind) -> list[Path]:
        """What a process that was killed has left of an export."""
        return list(self.path.glob(f".export.{kind}.*"))

    def export_lock(self, kind: ExportKind) -> Path:
        """Locked while a process writes the export."""
        return self.path / f"export-{kind}.lock"

    def export_log(self, kind: ExportKind) -> Path:
        """The output of the process that wrote the export last."""
        return self.path / f"export-{kind}.log"

    def bytes(self) -> int:
        """The size of all files together."""
        return sum(_size(path) for path in self.path.rglob("*"))

    def changed_at(self) -> float:
        """When a file of the job changed last, in seconds since 1970."""
        return max((_changed_at(path) for path in self.path.rglob("*")), default=0.0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # SQLite deletes the files beside a database when it is closed
        return 0


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
