"""Reads JSON: an array of objects."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

from datafiles.errors import DataFileError, shown
from datafiles.jsonl import parsed, read_jsonl
from datafiles.source import Source
from datafiles.table import Content, Fault, Options, Problem, Row
from datafiles.text import TextFile, text_of

_SAMPLE_CHARACTERS = 1024
_SPACE = re.compile(r"[ \t\r\n]*")


def read_json(source: Source, options: Options, files: ExitStack) -> Content:
    """Read the objects of an array as rows, as `read_jsonl` does. All of the text is in memory.

    Many files with this ending have one object a line. They are read as JSONL, with a notice.
    """
    text = text_of(source, options.encoding)
    if _has_object_lines(text):
        content = read_jsonl(source, options, files)
        notice = "The file has one JSON object a line, and is read as JSONL."
        return Content(
            content.names,
            content.rows,
            content.share_read,
            content.encoding,
            notices=(*content.notices, notice),
        )
    array = _Array(source.name, text.whole(source.limits.unpacked_bytes))
    keys: dict[str, None] = {}
    for _, element in array.elements():
        if isinstance(element, dict):
            keys.update(dict.fromkeys(element))
        if len(keys) > source.limits.columns:
            raise DataFileError(
                f"{source.name}: its objects have more than {source.limits.columns:,} keys, "
                "which is the limit"
            )
    return Content(list(keys), array.rows(tuple(keys)), array.share_read, text.encoding, notices=text.notices)


def _has_object_lines(text: TextFile) -> bool:
    """Return whether the first line that is not blank is an object."""
    if not text.beginning(_SAMPLE_CHARACTERS).lstrip().startswith("{"):
        return False
    with ExitStack() as files:
        first = next(filter(str.strip, text.lines(files, newline="\n")))
    return parsed(first)[1] is None


class _Array:
    """The text of an array, and how much of it is read."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._place = 0
        self._line = 1
        """The line of the place."""

    def share_read(self) -> float:
        return self._place / len(self._text)

    def rows(self, keys: tuple[str, ...]) -> Iterator[Row]:
        for number, (line, element) in enumerate(self.elements(), start=1):
            if isinstance(element, dict):
                yield Row(number, line, tuple(map(element.get, keys)))
            else:
                problem = Problem(Fault.JSON, f"{shown(element)} is not an object")
                yield Row(number, line, (None,) * len(keys), problem)

    def elements(self) -> Iterator[tuple[int, object]]:
        """Yield each element with the line at which it begins. Raises DataFileError for another text."""
        self._place, self._line = 0, 1
        self._go_to(0)
        if self._place == len(self._text):
            raise DataFileError(f"{self._name} is empty")
        if not self._passes("["):
            raise DataFileError(f"{self._name} is not an array of objects: it begins with {self._next()}")
        if self._passes("]"):
            return
        decoder = json.JSONDecoder()
        while True:
            line = self._line
            try:
                element, end = decoder.raw_decode(self._text, self._place)
            except (ValueError, RecursionError) as error:
                raise DataFileError(f"{self._name} line {line}: not JSON: {error}") from error
            self._go_to(end)
            yield line, element
            if self._passes("]"):
                return
            if not self._passes(","):
                raise DataFileError(
                    f"{self._name} line {self._line}: {self._next()} follows an element of the array; "
                    "it must be ',' or ']'"
                )

    def _go_to(self, place: int) -> None:
        """Go to the next character from this place on that is not white space."""
        match = _SPACE.match(self._text, place)
        end = match.end() if match else place
        self._line += self._text.count("\n", self._place, end)
        self._place = end

    def _passes(self, character: str) -> bool:
        """Go behind the next character if it is this one."""
        is_next = self._text.startswith(character, self._place)
        if is_next:
            self._go_to(self._place + 1)
        return is_next

    def _next(self) -> str:
        """Return how a message shows what is at the place."""
        return shown(self._text[self._place]) if self._place < len(self._text) else "the end of the file"
