"""A strict reader of HTTP/1.1 requests after RFC 9112, independent of the parser under test.

It stops with `UNSURE` where the standard leaves a choice to the server, and does not read further.
"""

import enum
import re
from dataclasses import dataclass

MAX_HEADERS = 100
MAX_HEAD_BYTES = 65_536


class Stop(enum.Enum):
    """Why the reading ended."""

    BETWEEN = "between requests"
    PARTIAL = "within a request"
    LAST = "after a request that ends the connection"
    MALFORMED = "before something that is not a request"
    UNSURE = "where a server may choose"


@dataclass(frozen=True)
class Asked:
    """A complete request."""

    method: str
    target: str
    body: bytes


@dataclass(frozen=True)
class Reading:
    """The requests in a stream of bytes."""

    requests: tuple[Asked, ...]
    stop: Stop
    unfinished: tuple[str, str] | None = None
    """Method and target of a request with a well-formed head and an incomplete or malformed body."""


class _Ended(Exception):
    def __init__(self, stop: Stop) -> None:
        self.stop = stop


METHODS = {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH"}
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(%b) ([^ \x00-\x1f\x7f-\xff]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
_FIELD = re.compile(rb"(%b):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*" % _TOKEN)
_TARGET = re.compile(rb"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_HOST = re.compile(rb"(?:[A-Za-z0-9.-]+(?::[0-9]+)?)?")
_NO_HOST = re.compile(rb"[ /@\t?#\\]")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)(;.*)?")
_EXTENSION = re.compile(rb"(?:;%b(?:=%b)?)+" % (_TOKEN, _TOKEN))
_FRAMING = {b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade", b"expect"}


def read(stream: bytes) -> Reading:
    """Return the complete requests, and why there are no more."""
    reader, requests = _Reader(stream), []
    while True:
        reader.unfinished = None
        try:
            asked, is_last = reader.request()
        except _Ended as ended:
            # A server may report a malformed head only when the head has ended.
            may_wait = ended.stop is Stop.MALFORMED and not reader.unfinished and not reader.has_empty_line()
            return Reading(tuple(requests), Stop.PARTIAL if may_wait else ended.stop, reader.unfinished)
        requests.append(asked)
        if is_last:
            return Reading(tuple(requests), Stop.LAST)


class _Reader:
    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.at = self.head_at = 0
        self.unfinished: tuple[str, str] | None = None

    def has_empty_line(self) -> bool:
        """Whether some parser might consider the head that has begun to be complete."""
        return re.search(rb"\r?\n\r?\n", self.stream[self.head_at :]) is not None

    def line(self) -> bytes:
        end = self.stream.find(b"\n", self.at)
        rest = self.stream[self.at :] if end < 0 else self.stream[self.at : end]
        if end < 0:
            raise _Ended(Stop.PARTIAL)  # if it is already malformed, a server may answer now or wait
        if not rest.endswith(b"\r"):
            raise _Ended(Stop.MALFORMED)
        self.at = end + 1
        return rest[:-1]

    def request(self) -> tuple[Asked, bool]:
        while self.stream.startswith(b"\r\n", self.at):
            self.at += 2
        if self.at == len(self.stream):
            raise _Ended(Stop.BETWEEN)
        if self.stream[self.at] in b"\r\n":
            raise _Ended(Stop.UNSURE)  # the standard does not say which empty lines may come first
        self.head_at = self.at
        method, target, version = self._request_line(self.line())
        fields = self._fields()
        if self.at - self.head_at > MAX_HEAD_BYTES - 4 * MAX_HEADERS:
            raise _Ended(Stop.UNSURE)
        self._check_host([value for name, value in fields if name == b"host"], version)
        length = self._length(fields, version)
        is_last = version == b"1.0" or self._closes(fields)
        self.unfinished = method, target
        body = self._chunks(MAX_HEADERS - len(fields)) if length is None else self._bytes(length)
        return Asked(method, target, body), is_last

    def _request_line(self, line: bytes) -> tuple[str, str, bytes]:
        parts = _REQUEST_LINE.fullmatch(line)
        if parts is None:
            # A server may accept bytes above ASCII in a target, and more than one space.
            raise _Ended(Stop.UNSURE if re.search(rb"[\x80-\xff]|  ", line) else Stop.MALFORMED)
        method, target, version = parts[1].decode(), parts[2], parts[3] + b"." + parts[4]
        if version not in {b"1.1", b"1.0"} or method == "CONNECT":
            raise _Ended(Stop.MALFORMED)
        if method not in METHODS or not _TARGET.fullmatch(target):
            raise _Ended(Stop.UNSURE)
        return method, target.decode(), version

    def _fields(self) -> list[tuple[bytes, bytes]]:
        fields = []
        while line := self.line():
            field = _FIELD.fullmatch(line)
            if field is None:
                raise _Ended(Stop.MALFORMED)
            fields.append((field[1].lower(), field[2]))
            if len(fields) > MAX_HEADERS:
                raise _Ended(Stop.MALFORMED)
        return fields

    @staticmethod
    def _check_host(hosts: list[bytes], version: bytes) -> None:
        if len(hosts) > 1 or (not hosts and version == b"1.1"):
            raise _Ended(Stop.MALFORMED)
        if hosts and not _HOST.fullmatch(hosts[0]):
            raise _Ended(Stop.MALFORMED if _NO_HOST.search(hosts[0]) else Stop.UNSURE)

    @staticmethod
    def _length(fields: list[tuple[bytes, bytes]], version: bytes) -> int | None:
        """The length of the body; None if it is chunked."""
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
        if codings:
            # The standard allows other codings, but this service accepts none of them.
            if version == b"1.0" or lengths or codings != [b"chunked"]:
                raise _Ended(Stop.MALFORMED)
            return None
        if not lengths:
            return 0
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]):
            raise _Ended(Stop.MALFORMED)
        if int(lengths[0]) >= 2**63:
            raise _Ended(Stop.UNSURE)
        return int(lengths[0])

    @staticmethod
    def _closes(fields: list[tuple[bytes, bytes]]) -> bool:
        options = [
            option.strip(b" \t").lower()
            for name, value in fields
            if name == b"connection"
            for option in value.split(b",")
        ]
        return b"close" in options

    def _bytes(self, length: int) -> bytes:
        body = self.stream[self.at : self.at + length]
        if len(body) < length:
            raise _Ended(Stop.PARTIAL)
        self.at += length
        return body

    def _chunks(self, headers_left: int) -> bytes:
        body = b""
        while True:
            chunk = _CHUNK.fullmatch(self.line())
            if chunk is None:
                raise _Ended(Stop.MALFORMED)
            if len(chunk[1]) > 15 or (chunk[2] is not None and not _EXTENSION.fullmatch(chunk[2])):
                raise _Ended(Stop.UNSURE)
            size = int(chunk[1], 16)
            if size == 0:
                break
            body += self._bytes(size)
            end = self.stream[self.at : self.at + 2]
            if end != b"\r\n":
                raise _Ended(Stop.PARTIAL if end in {b"", b"\r"} else Stop.MALFORMED)
            self.at += 2
        trailers = self._fields()
        if len(trailers) > headers_left:
            raise _Ended(Stop.MALFORMED)
        if any(name in _FRAMING for name, _ in trailers):
            raise _Ended(Stop.UNSURE)
        return body
