"""The process that reads the file of one job and has its rows classified.

`Job` starts it as `python -m ui.jobs.worker` with a lock that it holds until it ends. All that it
knows is in the database, so it may be killed at any time: the next worker goes on there.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from ui.jobs.folder import PRIVATE_UMASK, JobFolder
from ui.jobs.locks import Lock, try_lock
from ui.jobs.processes import folder_of_process, limit_process
from ui.jobs.store import Interrupted, Store, open_store
from ui.jobs.values import Stage
from ui.settings import Settings

SLOT_SECONDS = 0.3
"""How often a waiting worker looks whether fewer jobs run."""


def main(folder: JobFolder) -> None:
    """Work on a job until it ends or this process is asked to."""
    os.umask(PRIVATE_UMASK)
    limit_process()
    asked_to_end = _ask_politely()
    settings = Settings()
    with ExitStack() as resources:
        store = resources.enter_context(open_store(folder.database))

        def should_end() -> bool:
            return asked_to_end.is_set() or not store.is_active()

        slot = _wait_for_slot(settings, should_end)
        if slot is not None:
            resources.enter_context(slot)
            _work(folder, store, settings, should_end)
        if asked_to_end.is_set():
            store.forget_starts()


def slots(settings: Settings) -> Iterator[Path]:
    """The files of which each running job locks one."""
    for number in range(settings.ui_running_jobs):
        yield settings.jobs_folder / f".slot-{number}.lock"


def _ask_politely() -> threading.Event:
    """Returns the event that SIGTERM and SIGINT set."""
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return asked


def _wait_for_slot(settings: Settings, should_end: Callable[[], bool]) -> Lock | None:
    """Lock one of the slots; None if the worker has to end before one is free."""
    while not should_end():
        for path in slots(settings):
            if lock := try_lock(path):
                return lock
        time.sleep(SLOT_SECONDS)
    return None


def _work(folder: JobFolder, store: Store, settings: Settings, should_end: Callable[[], bool]) -> None:
    # A worker that waits for a slot does without these modules and their memory.
    from datafiles import DataFileError
    from ui.client import Client
    from ui.jobs.reading import read_upload
    from ui.jobs.sending import GaveUp, Sender

    try:
        if not store.state.is_read:
            read_upload(folder, store, settings.ui_max_jobs_bytes, should_end)
        client = Client(settings, patience_seconds=0)
        Sender(store, client, settings.ui_requests_in_flight, should_end).run()
    except Interrupted:
        return
    except DataFileError as error:
        store.end(Stage.STOPPED, f"{error}.")
    except MemoryError:
        store.end(Stage.STOPPED, f"{store.state.name} takes too much memory to be read.")
    except GaveUp as error:
        store.end(Stage.STOPPED, str(error))
    else:
        store.end(Stage.FINISHED)


if __name__ == "__main__":
    main(folder_of_process())
