"""Starts the processes of a job, which go on when the process of the pages ends."""

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import ui
from ui.jobs.folder import JobFolder
from ui.jobs.locks import FILE_MODE, Lock
from ui.jobs.values import JobError
from ui.settings import Settings

MAX_PROCESS_BYTES = 3 * 2**30
"""Most address space of a process that reads a file. A file of some kilobytes can unpack to any size."""

PROJECT = Path(ui.__file__).parent.parent
NICENESS = 10
"""How much less urgent a job is than a page, as `nice` counts it."""

_FOLDER = "CLASSIFIER_UI_JOB_FOLDER"
"""The variable with the folder of a process's job. It is not an argument, because all users of a computer see
those, and who knows the name of the folder may see the job."""


def start_process(
    module: str, arguments: Sequence[str], folder: JobFolder, log: Path, lock: Lock, settings: Settings
) -> None:
    """Run a module of this project for a job, in a session of its own, which holds the lock until it ends.

    Its output replaces the log. Raises JobError if the process cannot be started.
    """
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            process = subprocess.Popen(
                command(module, *arguments),
                cwd=PROJECT,
                env=environment(settings, folder.path),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock.fd,),
                start_new_session=True,
            )
        finally:
            os.close(output)
    except OSError as error:
        raise JobError(f"A process for the job cannot be started: {error}.") from error
    # A process that has ended stays in the table of processes until its parent asks for its exit code.
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this project from the folder of the project."""
    return [sys.executable, "-m", module, *arguments]


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    """The environment of this process with these settings, so that both processes have the same ones.

    An empty variable is as good as none.
    """
    values = settings.model_dump(mode="json") | {
        "api_key": settings.api_key.get_secret_value() if settings.api_key else None,
        "ui_jobs_folder": str(settings.jobs_folder.absolute()),
    }
    prefix = settings.model_config["env_prefix"]
    variables = {
        f"{prefix}{name}".upper(): "" if value is None else str(value) for name, value in values.items()
    }
    return os.environ | variables | {_FOLDER: str(folder.absolute())}


def folder_of_process() -> JobFolder:
    """The folder of the job for which this process was started."""
    return JobFolder(Path(os.environ[_FOLDER]))


def limit_process() -> None:
    """Let pages come before this process, and let it raise MemoryError instead of taking all memory."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_PROCESS_BYTES, MAX_PROCESS_BYTES))
