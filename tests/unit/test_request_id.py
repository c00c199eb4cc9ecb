"""The id of a request."""

import re

import pytest

from serving.telemetry.request_id import RandomIds, has_sent_id, sent_id

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
CALL = TRACE + b"-00f067aa0ba902b7"
TRACEPARENT = b"00-" + CALL + b"-01"
WELL_FORMED = [b"a", b"A-z_0.9:b", b"x" * 128]
HOSTILE = [b"", b"x" * 129, b"a b", b"a\tb", b"a\xc3\xa9", b"a;b", b'a"b', b"a\x00b", b"a\nb", b"a=b", b"a/b"]


@pytest.mark.parametrize("sent", WELL_FORMED)
def test_a_well_formed_id_of_the_client_is_kept(sent: bytes) -> None:
    assert sent_id({b"x-request-id": sent, b"traceparent": TRACEPARENT}) == sent


@pytest.mark.parametrize("sent", HOSTILE)
def test_another_id_is_not_kept(sent: bytes) -> None:
    assert sent_id({b"x-request-id": sent}) is None
    assert sent_id({b"x-request-id": sent, b"traceparent": TRACEPARENT}) == CALL


@pytest.mark.parametrize(
    "traceparent",
    [
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"ff-" + TRACE + b"-00f067aa0ba902b7-01",
        b"00-" + TRACE.upper() + b"-00f067aa0ba902b7-01",
        TRACEPARENT[:-1],
        TRACEPARENT + b"\n",
    ],
)
def test_a_trace_that_is_not_well_formed_gives_no_id(traceparent: bytes) -> None:
    assert sent_id({b"traceparent": traceparent}) is None


def test_a_traceparent_of_a_later_version_may_have_more_fields() -> None:
    assert sent_id({b"traceparent": b"01" + TRACEPARENT[2:] + b"-more"}) == CALL


@pytest.mark.parametrize("name", [b"x-request-id", b"X-Request-ID", b"TraceParent"])
def test_a_head_that_may_hold_an_id_is_recognized(name: bytes) -> None:
    assert has_sent_id(b"POST / HTTP/1.1\r\nhost: x\r\n" + name + b":a\r\n\r\n")


@pytest.mark.parametrize("line", [b"x-request-idea: a", b"x: x-request-id:", b"host: traceparent"])
def test_another_head_holds_no_id(line: bytes) -> None:
    assert not has_sent_id(b"POST / HTTP/1.1\r\n" + line + b"\r\n\r\n")


def test_ten_thousand_random_ids_differ() -> None:
    new_id = RandomIds()
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(re.fullmatch(rb"[0-9a-f]{32}", one) for one in ids)
