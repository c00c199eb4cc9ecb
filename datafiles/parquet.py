"""Reads Parquet."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from datafiles.errors import DataFileError
from datafiles.source import Source
from datafiles.table import Content, Options, Row

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_BATCH_ROWS = 256
"""Rows that are in memory together."""

_BUFFER_BYTES = 1024 * 1024


def read_parquet(source: Source, options: Options, files: ExitStack) -> Content:
    """Read rows as Python values: str, int, float, bool, date, datetime, list, dict, bytes or None."""
    import pyarrow.parquet as pq

    del options  # a Parquet file says everything itself
    with _errors_named(source):
        # Without `pre_buffer`, a row group, which may be the whole file, is not read at once.
        file = files.enter_context(pq.ParquetFile(source.path, pre_buffer=False, buffer_size=_BUFFER_BYTES))
        groups = range(file.metadata.num_row_groups)
        unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    if unpacked > source.limits.unpacked_bytes:
        raise DataFileError(
            f"{source.name} unpacks to {unpacked:,} bytes; at most {source.limits.unpacked_bytes:,} are read"
        )
    reading = _Reading(source, file)
    return Content(file.schema_arrow.names, reading.rows(), reading.share_read)


class _Reading:
    """The rows of a file, and how many of them were read."""

    def __init__(self, source: Source, file: "pq.ParquetFile") -> None:
        self._source = source
        self._file = file
        self._read = 0

    def rows(self) -> Iterator[Row]:
        with _errors_named(self._source):
            for batch in self._file.iter_batches(_BATCH_ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                for values in zip(*columns, strict=True):
                    self._read += 1
                    yield Row(self._read, self._read, values)

    def share_read(self) -> float:
        rows: int = self._file.metadata.num_rows
        return self._read / max(1, rows)


@contextmanager
def _errors_named(source: Source) -> Iterator[None]:
    """Raise DataFileError for all that a damaged file can make pyarrow raise.

    Damaged pages give an OSError, strings that are not UTF-8 and dates after the year 9999 a ValueError.
    """
    import pyarrow as pa

    try:
        yield
    except pa.ArrowMemoryError:  # nothing is wrong with the file; it is a MemoryError as well
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataFileError(f"{source.name} is not a Parquet file: {error}") from error
