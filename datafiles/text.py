"""The text of a file: its encoding and its lines."""

import codecs
import io
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from datafiles.errors import DataFileError, EncodingUnknown
from datafiles.source import Source

MAX_ROW_CHARACTERS = 16 * 2**20
"""Most characters of a row. A quote that is never closed makes the rest of the file one row."""

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""The byte order marks. A file that begins with one has that encoding."""

ENCODINGS = ("utf-8", "cp1252")
"""The encodings to try, in this order, if none is named and the file has no mark."""

MAX_NUL_SHARE = 0.01
"""The largest share of NUL bytes at the beginning of a text. About half of the bytes of UTF-16 are NUL if its
letters are Latin; a few come from damaged cells."""

_CHUNK_CHARACTERS = 2**20
_MARK = "\ufeff"


@dataclass(frozen=True)
class TextFile:
    """A file whose bytes are text in this encoding."""

    source: Source
    encoding: str
    notices: tuple[str, ...]
    """Says the encoding if it was found out and is not UTF-8."""

    def beginning(self, characters: int) -> str:
        """Return the first characters, with their line ends and without a byte order mark."""
        parts: list[str] = []
        with self._opened(newline="") as text:
            # Python reserves memory for all characters that one call asks for, however small the file is.
            while characters > 0 and (part := text.read(min(characters, _CHUNK_CHARACTERS))):
                parts.append(part)
                characters -= len(part)
        return "".join(parts).removeprefix(_MARK)

    def whole(self, characters: int) -> str:
        """Return the text without a byte order mark; raises DataFileError beyond so many characters."""
        text = self.beginning(characters + 1)
        if len(text) > characters:
            raise DataFileError(
                f"{self.source.name} has more than {characters:,} characters, which is the limit"
            )
        return text

    def lines(self, files: ExitStack, newline: str | None) -> "Lines":
        """Open the text at its beginning, line by line; `newline` is that of `open`."""
        return Lines(files.enter_context(self._opened(newline)), self.source.name)

    def _opened(self, newline: str | None) -> io.TextIOWrapper:
        return io.TextIOWrapper(self.source.open(), encoding=self.encoding, newline=newline)


class Lines(Iterator[str]):
    """The lines of a text, with their line ends and without a byte order mark.

    Raises DataFileError as soon as a row has more than MAX_ROW_CHARACTERS. No more than a row is in memory.
    """

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text = text
        self._name = name
        self._of_row: list[str] = []
        self._again: deque[str] = deque()
        self.number = 0
        """The number of the line that was read last; the first one is line 1."""
        self.begin_row()

    def begin_row(self) -> None:
        """Begin a row with the next line."""
        self.first = self.number + 1
        """The number of the line with which the row begins."""
        self._of_row.clear()
        self._left = MAX_ROW_CHARACTERS

    def end_row_after_first_line(self) -> None:
        """Give the lines of the row after its first one once more, as those of other rows."""
        self._again.extendleft(reversed(self._of_row[1:]))
        self.number = self.first

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(self._left + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._left -= len(line)
        if self._left < 0:
            raise DataFileError(
                f"{self._name} line {self.first}: the row that begins here has more than "
                f"{MAX_ROW_CHARACTERS:,} characters; perhaps one of its quotes is never closed"
            )
        self._of_row.append(line)
        return line if self.number > 1 else line.removeprefix(_MARK)


def text_of(source: Source, encoding: str | None) -> TextFile:
    """Return the text of a file, with this encoding or with the first that fits.

    The file is read once to its end for it, so that no error of the encoding or of gzip comes after this.
    Raises EncodingUnknown if it is not text in this encoding, or in any of those that are tried.
    """
    if encoding is not None:
        return TextFile(source, _first_that_fits(source, (encoding,)), ())
    head = source.head()
    candidates = next(((name,) for mark, name in MARKS.items() if head.startswith(mark)), ENCODINGS)
    if candidates == ENCODINGS and head.count(b"\0") > MAX_NUL_SHARE * len(head):
        raise EncodingUnknown(
            f"{source.name} is not text: it has many NUL bytes; if it is text in an encoding such as UTF-16, "
            "name its encoding"
        )
    found = _first_that_fits(source, candidates)
    notice = f"The text is not in UTF-8; it is read as {found}. If letters are wrong, name its encoding."
    return TextFile(source, found, () if found == ENCODINGS[0] else (notice,))


def _first_that_fits(source: Source, encodings: tuple[str, ...]) -> str:
    for encoding in encodings:
        try:
            with io.TextIOWrapper(source.open(), encoding=encoding, newline="") as text:
                while text.read(_CHUNK_CHARACTERS):
                    pass
        except LookupError as error:
            raise DataFileError(f"{source.name}: there is no encoding {encoding!r}") from error
        except UnicodeError:
            continue
        return encoding
    raise EncodingUnknown(f"{source.name} is not text in {' or '.join(encodings)}; name its encoding")
