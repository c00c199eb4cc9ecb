"""The id of a request: the client's own if it sends one, otherwise a random one."""

import os
import re
from collections.abc import Mapping

HEADER = b"x-request-id"
"""The header in which a client may send an id, and in which every answer has it."""

ID_BYTES = 16
"""Bytes of a random id, as many as a trace id has."""

POOL_IDS = 256
"""Ids that are made at once."""

_TRACEPARENT = b"traceparent"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TRACE = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_IN_HEAD = re.compile(rb"(?i:\r\nx-request-id): *([A-Za-z0-9._:-]{1,128}) *\r\n")


class RandomIds:
    """Random ids of 32 hexadecimal digits. Random bytes are taken from the system for many ids at once."""

    def __init__(self) -> None:
        self._ids: list[bytes] = []

    def __call__(self) -> bytes:
        """A new id."""
        if not self._ids:
            digits, length = os.urandom(POOL_IDS * ID_BYTES).hex().encode(), 2 * ID_BYTES
            self._ids = [digits[start : start + length] for start in range(0, len(digits), length)]
        return self._ids.pop()


def sent_id(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The id in the headers, or that of the trace (W3C Trace Context); None if neither is well-formed."""
    sent = headers.get(HEADER)
    if sent is not None and _WELL_FORMED.fullmatch(sent):
        return sent
    trace = headers.get(_TRACEPARENT)
    found = None if trace is None else _TRACE.fullmatch(trace)
    return None if found is None else found[1]


def sent_id_in_head(head: bytes) -> bytes | None:
    """The value of the header `x-request-id` in the bytes of a head; None if it is not well-formed."""
    found = _IN_HEAD.search(head)
    return None if found is None else found[1]
