"""The head of a request: its bounds, and the rules that leave no doubt about where the request ends."""

import re
from collections.abc import Sequence

from serving.errors import HeadersTooLarge, MalformedRequest

MAX_HEAD_BYTES = 65_536
"""Most bytes of a request's target, headers and trailers; beyond this the answer is 431."""

MAX_HEADERS = 100
"""Most headers and trailers of a request; beyond this the answer is 431."""

Header = tuple[bytes, bytes]
"""The name, in lower case, and the value."""

_NOT_IN_TRAILERS = frozenset(
    {b"connection", b"content-length", b"host", b"transfer-encoding", b"upgrade", b"authorization"}
)
"""Headers that decide where a request ends or who sends it. In a trailer they would arrive too late."""

_AUTHORITY = re.compile(rb"[a-z]+://([^/?#]*)", re.IGNORECASE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


class Head:
    """What has been parsed of one request's head, and later of its trailers."""

    __slots__ = ("_count", "_host", "_hosts", "bytes", "expects_continue", "headers")

    def __init__(self, headers: list[Header]) -> None:
        """`headers` is the list that headers are added to, which uvicorn reads."""
        self.headers = headers
        self.bytes = 0
        """Bytes of the target, headers and trailers."""
        self.expects_continue = False
        """Whether the client waits for an interim answer before it sends the body."""
        self._count = self._hosts = 0
        self._host = b""

    def count(self, size: int) -> None:
        """Count bytes; raises HeadersTooLarge."""
        self.bytes += size
        if self.bytes > MAX_HEAD_BYTES:
            raise head_too_large()

    def add_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; raises HeadersTooLarge or MalformedRequest."""
        name, value = self._checked(name, value)
        if name == b"host":
            self._hosts += 1
            self._host = value
            if not _HOST.fullmatch(value):
                raise MalformedRequest("the Host header is not a host with an optional port")
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expects_continue = True
        self.headers.append((name, value))

    def add_trailer(self, name: bytes, value: bytes) -> None:
        """Count a trailer and drop it; raises HeadersTooLarge or MalformedRequest."""
        name, _ = self._checked(name, value)
        if name in _NOT_IN_TRAILERS:
            raise MalformedRequest(f"a trailer is named {name.decode()}, which only a header may be")

    def _checked(self, name: bytes, value: bytes) -> Header:
        self.count(len(name) + len(value) + 4)
        self._count += 1
        if self._count > MAX_HEADERS:
            raise HeadersTooLarge(
                f"the request has more than {MAX_HEADERS} headers, which is the most allowed"
            )
        return name.lower(), value.rstrip(b" \t")

    def check_framing(self, version: str, target: bytes) -> None:
        """Raise MalformedRequest for a head that another parser could read differently."""
        if version not in {"1.1", "1.0"}:
            raise MalformedRequest(f"the version is HTTP/{version}; HTTP/1.1 and HTTP/1.0 are read")
        if self._hosts > 1:
            raise MalformedRequest(f"there are {self._hosts} Host headers; a request has one")
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and codings != [b"chunked"]:
            raise MalformedRequest("Transfer-Encoding is not chunked alone, the only coding that is read")
        if version == "1.0":
            if codings:
                raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding")
        elif not self._hosts:
            raise MalformedRequest("there is no Host header; HTTP/1.1 needs one")
        absolute = _AUTHORITY.match(target)
        if absolute is not None and self._hosts and absolute[1].lower() != self._host.lower():
            raise MalformedRequest("the target names another host than the Host header")

    def without_upgrade(self, method: bytes, target: bytes, version: str) -> bytes:
        """The bytes of the head without the upgrade that it offers; raises MalformedRequest for CONNECT."""
        if method == b"CONNECT":
            raise MalformedRequest("CONNECT asks for a tunnel, and this service is not a proxy")
        return head_bytes(method, target, version, [each for each in self.headers if each[0] != b"upgrade"])


def head_bytes(method: bytes, target: bytes, version: str, headers: Sequence[Header]) -> bytes:
    """A head as it is sent."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    return b"\r\n".join([*lines, *(b"%b: %b" % header for header in headers), b"", b""])


def head_too_large() -> HeadersTooLarge:
    """The error of a head with too many bytes."""
    return HeadersTooLarge(f"the headers have more than {MAX_HEAD_BYTES} bytes")
