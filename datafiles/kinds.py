"""The kinds of file that can be read."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from datafiles.delimited import read_csv, read_lines, read_tsv
from datafiles.errors import DataFileError
from datafiles.excel import read_excel
from datafiles.json_array import read_json
from datafiles.jsonl import read_jsonl
from datafiles.parquet import read_parquet
from datafiles.source import Source
from datafiles.table import Content, Limits, Options, Table


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    suffix: str
    """The ending of its names, in lower case."""
    read: Callable[[Source, Options, ExitStack], Content]
    """Opens a file; what it opens is closed by the stack."""
    signature: bytes = b""
    """The bytes with which each of its files begins; none for text."""
    what: str = ""
    """What a message calls a file with this signature."""

    @property
    def unit(self) -> str:
        """What the place of a row counts: the lines of a text, or the rows of another file."""
        return "row" if self.signature else "line"


KINDS = (
    Kind("CSV", ".csv", read_csv),
    Kind("TSV", ".tsv", read_tsv),
    Kind("text", ".txt", read_lines),
    Kind("JSONL", ".jsonl", read_jsonl),
    Kind("JSON", ".json", read_json),
    Kind("Parquet", ".parquet", read_parquet, b"PAR1", "a Parquet file"),
    Kind("Excel", ".xlsx", read_excel, b"PK\x03\x04", "an Excel workbook or another ZIP archive"),
)

GZIP_SUFFIX = ".gz"

SUFFIXES = (
    *(kind.suffix for kind in KINDS),
    *(kind.suffix + GZIP_SUFFIX for kind in KINDS if not kind.signature),
)
"""The endings of the names of files that can be read. Text may be compressed with gzip."""

ADVICE = {
    ".xls": "save it as .xlsx",
    ".ods": "save it as .xlsx",
}
"""What to do with a file whose ending is known but not read."""

_GZIP = b"\x1f\x8b"
_WHAT = {
    **{
        kind.signature: f"{kind.what}, whose name must end with {kind.suffix}"
        for kind in KINDS
        if kind.signature
    },
    _GZIP: "compressed with gzip; unpack it, or if it is text, add .gz to its name",
    b"\xd0\xcf\x11\xe0": "an old or encrypted Office file; save it as .xlsx, without a password",
    b"%PDF-": "a PDF document",
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"SQLite format 3\0": "an SQLite database",
}
"""What a file is, by its first bytes."""


def open_table(
    path: Path, options: Options = Options(), limits: Limits = Limits(), name: str | None = None
) -> Table:
    """Open a file of rows. `name` is the file's name as the user knows it; its ending says the kind of file.

    Raises DataFileError if the file cannot be used. Text is read once to its end before this returns, to be
    certain of its encoding.
    """
    name = path.name if name is None else name
    kind, is_packed = _kind_of(name)
    source = Source(path, name, limits, is_packed)
    _check_signature(source, kind, is_packed)
    with ExitStack() as files:
        content = kind.read(source, options, files)
        if len(content.names) > limits.columns:
            raise DataFileError(
                f"{name} has {len(content.names):,} columns; at most {limits.columns:,} are read"
            )
        return Table(kind.name, kind.unit, content, files.pop_all())


def _kind_of(name: str) -> tuple[Kind, bool]:
    """Return the kind that the ending says, and whether the file is compressed with gzip."""
    lower = name.lower()
    suffix = next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), None)
    if suffix is not None:
        kind = next(kind for kind in KINDS if kind.suffix == suffix.removesuffix(GZIP_SUFFIX))
        return kind, suffix.endswith(GZIP_SUFFIX)
    ending = "".join(Path(lower).suffixes[-2 if lower.endswith(GZIP_SUFFIX) else -1 :])
    advice = f"; {ADVICE[ending]}" if ending in ADVICE else f"; supported are {', '.join(SUFFIXES)}"
    raise DataFileError(f"{name}: unknown kind of file {ending!r}{advice}")


def _check_signature(source: Source, kind: Kind, is_packed: bool) -> None:
    """Raise DataFileError if the file is empty, or if its first bytes are those of another kind of file."""
    head = source.packed_head()
    if is_packed and head:
        if not head.startswith(_GZIP):
            raise DataFileError(f"{source.name} is not a gzip file, as its ending says")
        head = source.head()
    if not head:
        raise DataFileError(f"{source.name} is empty")
    if not (kind.signature and head.startswith(kind.signature)):
        what = next((what for signature, what in _WHAT.items() if head.startswith(signature)), None)
        if what is not None:
            raise DataFileError(f"{source.name} is {what}")
