"""Locks on files. The kernel frees them however the process ends that holds them."""

import fcntl
import os
from pathlib import Path
from typing import Self

FILE_MODE = 0o600


class Lock:
    """A lock on a file that this process holds.

    It belongs to the open file: a child process that inherits `fd` goes on holding it after this process has
    closed its own.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def try_lock(path: Path) -> Lock | None:
    """Lock a file, which is made if it does not exist. Returns None if it is locked already.

    Raises FileNotFoundError if its folder does not exist.
    """
    return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wait_for_lock(path: Path) -> Lock:
    """Lock a file, which is made if it does not exist; waits until it is free."""
    lock = _lock(path, fcntl.LOCK_EX)
    assert lock is not None, "flock without LOCK_NB waits"  # noqa: S101
    return lock


def _lock(path: Path, operation: int) -> Lock | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(fd, operation)
    except BlockingIOError:
        os.close(fd)
        return None
    return Lock(fd)
