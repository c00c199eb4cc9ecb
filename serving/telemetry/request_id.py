"""The id of a request: the client's own, or that of its call in a trace, or a random one."""

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
_TRACE = re.compile(rb"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_SENT_IN_HEAD = re.compile(rb"(?i:\r\n(?:x-request-id|traceparent)):")


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
    """The id that a client sent; None if there is none that is well-formed.

    It is the header `x-request-id`, or the trace and the span in `traceparent` (W3C Trace Context). The trace
    alone would not do, because a client may call the service several times in one trace.
    """
    sent = headers.get(HEADER)
    if sent is not None and _WELL_FORMED.fullmatch(sent):
        return sent
    trace = headers.get(_TRACEPARENT)
    found = None if trace is None else _TRACE.fullmatch(trace)
    return None if found is None else found[1]


def has_sent_id(head: bytes) -> bool:
    """Whether the bytes of a head have a header that may hold an id."""
    return _SENT_IN_HEAD.search(head) is not None
