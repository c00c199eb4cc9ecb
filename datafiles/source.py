"""The bytes of a file, unpacked if it is compressed with gzip."""

import gzip
import io
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from datafiles.errors import DataFileError
from datafiles.table import Limits

_HEAD_BYTES = 64 * 1024
_BUFFER_BYTES = 1024 * 1024


class Source:
    """A file that can be opened several times."""

    def __init__(self, path: Path, name: str, limits: Limits, packed: bool) -> None:
        self.path = path
        self.name = name
        """The file's name as messages show it."""
        self.limits = limits
        self._packed = packed
        self._raw: io.FileIO | None = None

    def open(self) -> BinaryIO:
        """Open the file at its beginning. Reading raises DataFileError if it cannot be unpacked."""
        self._raw = self._opened()
        raw = _Unpacked(self._raw, self.name, self.limits.unpacked_bytes) if self._packed else self._raw
        return io.BufferedReader(raw, _BUFFER_BYTES)

    def head(self) -> bytes:
        """Return the first bytes, at most 64 KiB."""
        with self.open() as file:
            return file.read(_HEAD_BYTES)

    def packed_head(self) -> bytes:
        """Return the first bytes as they are on disk."""
        with self._opened() as file:
            return file.read(_HEAD_BYTES)

    def share_read(self) -> float:
        """Return how much of the file that was opened last is read, from 0 to 1."""
        if self._raw is None or self._raw.closed:
            return 0.0 if self._raw is None else 1.0
        return self._raw.tell() / max(1, os.fstat(self._raw.fileno()).st_size)

    def _opened(self) -> io.FileIO:
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise DataFileError(f"{self.name} cannot be read: {error.strerror}") from error


class _Unpacked(io.RawIOBase):
    """The content of a gzip file; reading raises DataFileError if it is damaged or exceeds `limit` bytes."""

    def __init__(self, packed: io.FileIO, name: str, limit: int) -> None:
        self._packed = packed
        self._gzip = gzip.GzipFile(fileobj=packed)
        self._name = name
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count = self._gzip.readinto(buffer)
        except (OSError, EOFError, zlib.error) as error:
            raise DataFileError(f"{self._name} is a damaged gzip file: {error}") from error
        if self._gzip.tell() > self._limit:
            raise DataFileError(
                f"{self._name} unpacks to more than {self._limit:,} bytes, which is the limit"
            )
        return count

    def close(self) -> None:
        self._packed.close()
        super().close()
