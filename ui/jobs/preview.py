"""The process that looks at the beginning of an uploaded file, so that no file can harm the pages.

A small file can take gigabytes or minutes to be read, and a damaged one can end the process that reads it. So
`preview` runs `python -m ui.jobs.preview OPTIONS` with bounds on its memory and its time.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from datafiles import DataFileError, Options, guess_columns, open_table
from ui.jobs.folder import JobFolder
from ui.jobs.locks import Lock, try_lock
from ui.jobs.processes import PROJECT, command, environment, folder_of_process, limit_process
from ui.jobs.values import Busy, JobError, Preview
from ui.settings import Settings

ROWS = 20
VALUE_CHARS = 300
"""Most characters of a value in a preview."""

SECONDS = 120.0
"""The longest time for a preview. The shared strings of a workbook of 100 MB take about half of it."""

TURN_SECONDS = 0.1
"""How often a preview that waits for others looks whether it may begin."""


def preview(folder: JobFolder, name: str, options: Options, settings: Settings) -> Preview:
    """Look at the first rows of an uploaded file.

    At most `ui_running_jobs` previews run at the same time, and others wait for them. Raises JobError if
    the file cannot be used, or not within the bounds, and Busy if that may be otherwise later.
    """
    with _turn(settings, time.monotonic() + SECONDS):
        try:
            done = subprocess.run(
                command("ui.jobs.preview", json.dumps({"name": name, "options": asdict(options)})),
                cwd=PROJECT,
                env=environment(settings, folder.path),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise JobError(
                f"{name} cannot be used: its first rows took over {SECONDS:.0f} seconds."
            ) from error
        except OSError as error:
            raise Busy(f"A process that reads the file cannot be started: {error}.") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:VALUE_CHARS]
        raise JobError(f"{name} cannot be used: its reader ended with the status {done.returncode}. {reason}")
    answer = json.loads(done.stdout)
    if "problem" in answer:
        raise JobError(answer["problem"])
    return Preview(
        kind=answer["kind"],
        columns=tuple(answer["columns"]),
        notices=tuple(answer["notices"]),
        text_column=answer["text_column"],
        label_column=answer["label_column"],
        rows=tuple(map(tuple, answer["rows"])),
    )


def _turn(settings: Settings, end: float) -> Lock:
    """The lock of one of the slots for previews; waits until one is free, but not beyond `end`."""
    while time.monotonic() < end:
        for number in range(settings.ui_running_jobs):
            if lock := try_lock(settings.jobs_folder / f".preview-{number}.lock"):
                return lock
        time.sleep(TURN_SECONDS)
    raise Busy("Other files are being looked at just now. Try again in a minute.")


def _look(path: Path, name: str, options: Options) -> Preview:
    """Read the first rows. Raises DataFileError."""
    with open_table(path, options, name=name) as table:
        rows = list(islice(table.rows(), ROWS))
    guess = guess_columns(table.columns, rows)
    return Preview(
        kind=table.kind,
        columns=table.columns,
        notices=table.notices,
        text_column=guess.text,
        label_column=guess.label,
        rows=tuple(tuple(map(_shown, row.values)) for row in rows),
    )


def _shown(value: object) -> str:
    """The beginning of a value as a text that can be sent to a browser."""
    text = "" if value is None else str(value)[:VALUE_CHARS]
    return text.encode(errors="replace").decode()


def main(request: str) -> None:
    """Print a preview of the file of this process's job, or why there is none."""
    asked = json.loads(request)
    limit_process()
    try:
        found = _look(folder_of_process().upload, asked["name"], Options(**asked["options"]))
    except DataFileError as error:
        answer: dict[str, object] = {"problem": f"{error}."}
    except MemoryError:
        answer = {"problem": f"{asked['name']} takes too much memory to be read."}
    else:
        answer = asdict(found)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
