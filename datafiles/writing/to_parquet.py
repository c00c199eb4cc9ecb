"""Writes Parquet."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datafiles.writing.changes import Changes, as_text, header_of

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 10_000
"""Rows that are in memory together, which is also a row group of the file."""

_KINDS = (str, type(None), bool, int, float, datetime, date)
"""The types that are kept; bool is before int and datetime before date, of which they are subclasses."""

_INT64 = range(-(2**63), 2**63)


def write_parquet(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], changes: Changes
) -> int:
    """Write columns of bool, int, float, str, date or datetime. A column of several types is one of strings.

    A column of int and float is one of float. Times with a time zone are strings.

    The type of a column is known only after the last row. So the rows are first written beside the file, each
    group with its own types, and then copied with the types of all.
    """
    spool = path.with_name(f"{path.name}.groups")
    header = header_of(columns, changes)
    types = _spool(spool, len(header), rows, changes)
    return _copy(spool, path, header, [_common(found) for found in types])


def _spool(path: Path, width: int, rows: Iterable[Sequence[object]], changes: Changes) -> list[set[type]]:
    """Write each group of rows as an Arrow stream of its own; return the types of each column's values."""
    import pyarrow as pa

    types: list[set[type]] = [set() for _ in range(width)]
    remaining = iter(rows)
    with path.open("wb") as file:
        while group := list(islice(remaining, GROUP_ROWS)):
            arrays = []
            for found, values in zip(types, zip(*group, strict=True), strict=True):
                of_group = set(map(_type_of, values)) - {type(None)}
                found.update(of_group)
                arrays.append(_array(values, _common(of_group), changes))
            batch = pa.record_batch(arrays, names=[str(column) for column in range(width)])
            with pa.ipc.new_stream(file, batch.schema) as stream:
                stream.write_batch(batch)
    return types


def _copy(spool: Path, path: Path, header: Sequence[str], types: Sequence[type]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # The strings of the spool are encodable already, so that nothing is left to change.
    unchanged = Changes()
    schema = pa.schema([pa.field(name, _arrow_type(kind)) for name, kind in zip(header, types, strict=True)])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batches(spool):
            arrays = [
                column if column.type == field.type else _array(column.to_pylist(), kind, unchanged)
                for column, field, kind in zip(batch.columns, schema, types, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += batch.num_rows
    return count


def _batches(spool: Path) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    size = spool.stat().st_size
    with pa.OSFile(str(spool)) as file:
        while file.tell() < size:
            with pa.ipc.open_stream(file) as stream:
                yield from stream


def _type_of(value: object) -> type:
    """Return the type of the column that can hold this value alone."""
    if isinstance(value, int) and value not in _INT64:
        return str
    if isinstance(value, datetime) and value.tzinfo is not None:
        return str
    return next((kind for kind in _KINDS if isinstance(value, kind)), str)


def _common(types: set[type]) -> type:
    """Return the type of the column that can hold values of all these types."""
    if types == {int, float}:
        return float
    return next(iter(types)) if len(types) == 1 else str


def _arrow_type(kind: type) -> Any:
    import pyarrow as pa

    return {
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
        str: pa.string(),
        datetime: pa.timestamp("us"),
        date: pa.date32(),
    }[kind]


def _array(values: Iterable[object], kind: type, changes: Changes) -> Any:
    import pyarrow as pa

    if kind is str:
        values = [None if value is None else changes.encodable(as_text(value)) for value in values]
    elif kind is float:
        values = [None if value is None else float(value) for value in values]  # type: ignore[arg-type]
    return pa.array(values, _arrow_type(kind))
